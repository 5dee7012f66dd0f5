"""The command line: python -m study COMMAND."""

import argparse
import os
import sys
from pathlib import Path


def _profile(args):
    from study import config

    return config.load(args.profile)


def check_data(args):
    """Counts a dataset folder, against the official numbers if any, and lists what is broken."""
    from study.config import ConfigError
    from study.datasets import READERS, check

    if args.name not in READERS:
        raise ConfigError(f"no data set {args.name!r}; there is: {', '.join(READERS)}")
    report = check.check(args.name, Path(args.root))
    print(report)
    return 0 if report.ok else 1


def render(args):
    """Renders a profile's stand-in faces and videos into its data folders."""
    from study import paths, prepare

    profile = _profile(args)
    prepare.render(profile, args.jobs)
    prepare.render_aflw(profile, args.jobs)
    prepare.render_videos(profile, args.jobs)
    for data in filter(None, (profile.data, profile.aflw, *profile.videos)):
        kind = "real" if getattr(data, "real", data.standin is None) else "made"
        print(f"{data.name}: {paths.ROOT / data.root} ({kind})")


def own_sample(args):
    """Writes a sample of data of one's own: rendered stand-ins, five points, scheme.yaml."""
    from study import prepare

    train, test = args.faces
    prepare.sample(args.out, {"train": train, "test": test}, args.seed, args.format, args.jobs)
    print(f"{train} faces to train and {test} to test, stand-ins, in {args.out}")


def prepare_data(args):
    """Renders (where the profile says so), checks and crops a profile's faces and videos."""
    from study import paths, prepare

    profile = _profile(args)
    made = {profile.data.name: prepare.prepare(profile, args.jobs)}
    made |= prepare.prepare_large(profile, args.jobs)
    if profile.aflw is not None:
        made[profile.aflw.name] = prepare.prepare_aflw(profile, args.jobs)
    made |= prepare.prepare_videos(profile, args.jobs)
    for name, (_, crops) in made.items():
        where = paths.crops(profile.name, name).relative_to(paths.ROOT)
        print(f"{len(crops.table)} faces in {where}")


def train(args):
    """Trains runs that have no record, several at once if the profile says so; goes on."""
    from study import config, material, runs

    profile = _profile(args)
    selected = [profile.run(id) for id in args.runs] or list(profile.runs)
    if args.group:
        if args.group not in config.GROUPS:
            known = ", ".join(config.GROUPS)
            raise config.ConfigError(f"no group {args.group!r}; there are {known}")
        selected = [run for run in selected if run.group == args.group]
    if args.again:
        material.require_crops(profile)  # before a record is removed
        for run in selected:
            (material.folder(profile, run) / "run.json").unlink(missing_ok=True)
    runs.ensure(profile, selected)


def pack(args):
    """Writes a trained run's weights as one file for `predict` and `track`."""
    from study import pack as packing

    profile = _profile(args)
    made = packing.pack(profile, profile.run(args.run), Path(args.out), half=args.half)
    print(f"{args.out}: {made.kind}, F={made.config.size}, L={made.config.length}")


def predict(args):
    """Marks the faces of photographs: landmarks as CSV, JSON and .pts, and overlay pictures.

    Exits with 0 where all images were read, whether or not they show a face; with 1 where one
    could not be read, marked or found, or the marking was interrupted: the others are marked all
    the same; with 2 where nothing can be marked: usage, weights, boxes, or no place to write to.
    """
    from study import predict as marking
    from study.weights import WeightsError

    try:
        summary = marking.run(
            args.images,
            args.out,
            weights=args.weights,
            boxes=_boxes(args.box),
            decoder=args.decoder,
            mirror=args.mirror,
            passes=args.passes,
            formats=args.format,
            draw=not args.no_overlay,
        )
    except (marking.PredictError, WeightsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(str(summary).encode(errors="backslashreplace").decode())
    return 1 if summary.troubles else 0


def evaluate(args):
    """Prints how well the shipped detector marks a profile's test faces, by kind of box.

    What is recorded of these weights is printed; else, and with --again, it is measured, which is
    a look at the test set, counted in test_looks.csv.
    """
    from study import shipped, tables
    from study.answers import shipped as shipped_answers
    from study.tables import shipped as shipped_tables

    profile = _profile(args)
    evidence = shipped.ensure(profile, args.again)
    made = shipped_tables.of_profile(profile, evidence)
    made = {name: tables.save(table, name, profile.name) for name, table in made.items()}
    for subset in dict.fromkeys(made["shipped"]["subset"]):
        print(shipped_answers.scores(made["shipped"], subset))
    print(shipped_answers.reliability(made["reliability"]))


def _boxes(words):
    """The numbers of a box, or the path of a list of boxes."""
    return words[0] if words and len(words) == 1 else words


def track(args):
    """Follows a face through a video: landmarks per frame as CSV, and an overlay video.

    Exits with 1 where nothing could be read, no frame shows a face, or the video is damaged
    further down; what was written until then stays.
    """
    from study import track as tracking

    summary = tracking.run(
        args.video,
        args.weights,
        args.out,
        decoder=args.decoder,
        lam=args.lam,
        draw=not args.no_overlay,
    )
    print(summary)
    if summary.trouble:
        raise tracking.TrackError(summary.trouble)


def export(args):
    """Writes a detector as ONNX, its decoder inside: for other languages, or without PyTorch."""
    from study.onnx import export as exporting

    meta = exporting.export(args.out, args.weights, args.decoder)
    decoder = args.decoder or meta.config.decoder
    size, length = meta.config.size, meta.config.length
    print(f"{args.out}: {meta.landmarks} landmarks, F={size}, L={length}, decoder {decoder}")
    if "exported" in meta.about:
        print(f"note: {meta.about['exported']}")


def report(args):
    """Makes tables, figures and the page of a profile again from its records."""
    from study import report as page

    print(page.make(_profile(args)))


def readme(args):
    """Writes what README and docs say of results and code: from the cpu profile's tables."""
    from study.docs import readme as results_at_a_glance

    print(results_at_a_glance.update())


def contents(args):
    """Writes notebooks/index.ipynb from the first cells of the notebooks."""
    from study.docs import contents as table

    print(table.update())


def bench(args):
    """Times a profile's training loop, or marking faces by PyTorch and by ONNX.

    train: against the same step on one fixed batch. predict: from a photograph and a box to
    landmarks, stage by stage, on one thread and on two, of one face and of sixteen at once.
    """
    if args.what == "train":
        from study import bench as timing

        print(timing.train(_profile(args), args.seconds))
    else:
        from study import config
        from study.onnx import latency

        if args.out and not Path(args.out).parent.is_dir():
            raise config.ConfigError(f"{args.out}: there is no folder {Path(args.out).parent}")
        table = latency.measure(args.weights, args.seconds)
        print(latency.text(table))
        if args.out:
            table.to_csv(args.out, index=False, float_format="%.4f")


def plan(args):
    """Prints what a profile's trainings need: memory, disk and GPU-hours; trains nothing."""
    from study import config, plan as planning

    named = (args.named or args.profile or "demo").removeprefix("PROFILE=")
    if args.named and args.profile and named != args.profile:
        raise config.ConfigError(f"two profiles: {named} and {args.profile}")
    tflops = planning.TFLOPS if args.tflops is None else args.tflops
    if not tflops > 0:
        raise config.ConfigError(f"tflops is {tflops:g}; it must be positive")
    print(planning.Plan(config.load(named), tflops))


def _add_weights(sub):
    helped = "a file of this study's weights; default: the one that ships with it"
    sub.add_argument("--weights", metavar="FILE", help=helped)


def _parser():
    parser = argparse.ArgumentParser(prog="python -m study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name, function):
        sub = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        sub.set_defaults(function=function)
        return sub

    def with_profile(sub):
        names = "demo (default), cpu, paper, tiny or own"
        sub.add_argument("--profile", default="demo", help=names)
        return sub

    sub = add("check-data", check_data)
    sub.add_argument("name", help="300W, AFLW, 300VW or TF, or OWN of data of your own")
    sub.add_argument("root", help="the dataset's official folder, or your own")
    sub = add("own-sample", own_sample)
    sub.add_argument("--out", required=True, help="a folder that is empty or not there")
    sub.add_argument("--format", default="csv", help="of the points: csv (default) or coco")
    sub.add_argument("--faces", nargs=2, type=int, default=(240, 60), metavar=("TRAIN", "TEST"))
    sub.add_argument("--seed", type=int, default=1)
    sub.add_argument("--jobs", type=int, default=2)
    sub = with_profile(add("render", render))
    sub.add_argument("--jobs", type=int, default=2)
    sub = with_profile(add("prepare", prepare_data))
    sub.add_argument("--jobs", type=int, default=2)
    sub = with_profile(add("train", train))
    sub.add_argument("runs", nargs="*", help="ids such as detector1d_L192-s0; none is all")
    sub.add_argument("--group", help="only the runs of a group, such as resolution")
    sub.add_argument("--again", action="store_true", help="also those that have a record")
    sub = with_profile(add("pack", pack))
    sub.add_argument("run", help="such as tracker1d_L192-s0, trained on this machine")
    sub.add_argument("--out", required=True, help="the file")
    sub.add_argument("--half", action="store_true", help="convolutions in 16 bits: half the size")
    sub = add("predict", predict)
    helped = "photographs, and folders, which are searched with all below them"
    sub.add_argument("images", nargs="+", metavar="IMAGE|DIR", help=helped)
    sub.add_argument("--out", required=True, help="folder for the results")
    _add_weights(sub)
    helped = "tight box of the landmarks in each image: X1 Y1 X2 Y2 in px of the upright picture, "
    helped += "or a CSV with the columns image, x1, y1, x2, y2; else faces are searched"
    sub.add_argument("--box", nargs="+", metavar="BOX", help=helped)
    sub.add_argument("--decoder", help="in place of the weights' own")
    helped = "average each face with its mirrored picture (default), or take half the time"
    mirrored = argparse.BooleanOptionalAction
    sub.add_argument("--mirror", action=mirrored, default=None, help=helped)
    helped = "looks at a face, from the second one on where the points before were (default 2; "
    helped += "1 of weights whose boxes were annotated)"
    sub.add_argument("--passes", type=int, help=helped)
    kinds = ("csv", "json", "pts")
    helped = "what to write (default: all)"
    sub.add_argument("--format", nargs="+", choices=kinds, default=kinds, help=helped)
    sub.add_argument("--no-overlay", action="store_true", help="write no pictures")
    sub = with_profile(add("evaluate", evaluate))
    sub.add_argument("--again", action="store_true", help="measure what is recorded already")
    sub = add("track", track)
    sub.add_argument("video", help="of any common container; its largest face is followed")
    _add_weights(sub)
    sub.add_argument("--out", required=True, help="folder for the results")
    sub.add_argument("--decoder", help="in place of the weights' own")
    sub.add_argument("--lam", type=float, help="lambda, in place of the tracker's own")
    sub.add_argument("--no-overlay", action="store_true", help="write the CSV alone")
    sub = add("export", export)
    _add_weights(sub)
    sub.add_argument("--decoder", help="in place of the weights' own")
    sub.add_argument("--out", required=True, metavar="FILE", help="such as detector.onnx")
    with_profile(add("report", report))
    add("readme", readme)
    add("contents", contents)
    sub = with_profile(add("bench", bench))
    sub.add_argument("what", choices=["train", "predict"])
    sub.add_argument("--seconds", type=float, default=20, help="of each measurement")
    _add_weights(sub)
    sub.add_argument("--out", metavar="CSV", help="where `predict` writes its table to as well")
    sub = add("plan", plan)
    sub.add_argument("named", nargs="?", metavar="PROFILE", help="paper, or PROFILE=paper")
    sub.add_argument("--profile", help="demo (default), cpu, paper or tiny")
    rate = "that a GPU is assumed to sustain; the default is printed with the GPU-hours"
    sub.add_argument("--tflops", type=float, help=rate)
    return parser


def _known():
    """Classes of the faults whose message says all."""
    from study.config import ConfigError
    from study.datasets.index import DatasetError
    from study.datasets.video import VideoError
    from study.material import RunError
    from study.track import TrackError
    from study.training import TrainingError
    from study.weights import WeightsError

    known = (ConfigError, DatasetError, RunError, TrainingError)
    return known + (TrackError, VideoError, WeightsError)


def main(argv=None):
    """Runs a command; a fault that we know is one message, not a stack."""
    # Read when torch is loaded. Threads that wait actively take 50 times as long where others
    # work on the same cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    args = _parser().parse_args(argv)
    try:
        return args.function(args) or 0
    except Exception as error:
        if not isinstance(error, _known()):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
