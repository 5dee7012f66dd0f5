"""From a profile's dataset folders to its cached crops; stand-ins are rendered first."""

from pathlib import Path

from study import datasets, paths
from study.config import ConfigError
from study.datasets import OWN, crops as crop_cache


def data_root(profile):
    """The official folder of a profile's stills."""
    return paths.ROOT / profile.data.root


def render(profile, jobs=2):
    """Writes the profile's stand-ins, if it has any and they are not there yet."""
    standin = profile.data.standin
    if standin is not None:
        from study.standin import own, write

        put = own.write_own if profile.data.own else write.write_300w
        try:
            put(data_root(profile), standin.faces, standin.seed, jobs=jobs)
        except FileExistsError as error:
            cause = f"{error}; remove the key `standin` of its `data` if these are your own faces"
            raise ConfigError(f"profile {profile.name}: {cause}") from None


def sample(root, counts, seed, form="csv", jobs=2):
    """Writes a sample of data of one's own into an empty folder: see `standin.own.write_own`.

    Raises:
        ConfigError: the folder holds something, or arguments that cannot be.
    """
    from study.standin import own

    root = Path(root)
    try:
        if root.is_file() or (root.is_dir() and any(root.iterdir())):
            raise ValueError(f"{root} is not empty: nothing was written")
        own.write_own(root, counts, seed, jobs=jobs, form=form)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def render_aflw(profile, jobs=2):
    """Writes the profile's stand-ins of AFLW, if it has any and they are not there yet."""
    if profile.aflw is not None and profile.aflw.standin is not None:
        from study.standin import aflw

        made = profile.aflw.standin
        aflw.write_aflw(paths.ROOT / profile.aflw.root, made.faces, made.seed, jobs=jobs)


def render_videos(profile, jobs=2):
    """Writes the profile's rendered videos and sets its stills in motion, where it has any."""
    for data in profile.videos:
        root = paths.ROOT / data.root
        if data.standin:
            from study.standin import video

            made = data.standin
            if data.name == "TF":
                video.write_talking_face(root, made.frames, made.seed, jobs=jobs)
            else:
                video.write_300vw(root, made.videos, made.frames, made.seed, jobs=jobs)
        if data.motion:
            from study.standin import motion

            made, source = data.motion, data_root(profile)
            index = datasets.load(profile.data.name, source)
            motion.write(
                root, index, source, made.clips, made.frames, made.seed, made.size, jobs=jobs
            )


def prepare(profile, jobs=2):
    """Index and crops of a profile's stills.

    Returns:
        the index (one row a face) and the `Crops`, rows alike.

    Raises:
        datasets.DatasetError: what is missing or broken, all at once.
    """
    render(profile, jobs)
    index = datasets.load(profile.data.name, data_root(profile))
    return index, _crops(profile, profile.data, index, jobs)


def prepare_large(profile, jobs=2):
    """The larger crops of a profile's stills that some of its runs ask for.

    Returns:
        dict from the crops' name, e.g. "300W-128", to the index and the `Crops`, rows alike.

    Raises:
        datasets.DatasetError: what is missing or broken, all at once.
    """
    if not profile.large:
        return {}
    render(profile, jobs)
    index = datasets.load(profile.data.name, data_root(profile))
    return {
        name: (index, _crops(profile, profile.data, index, jobs, name)) for name in profile.large
    }


def prepare_aflw(profile, jobs=2):
    """Index and crops of a profile's AFLW, as `prepare` gives them; None where it has none.

    Raises:
        datasets.DatasetError: what is missing or broken, all at once.
    """
    if profile.aflw is None:
        return None
    render_aflw(profile, jobs)
    index = datasets.load(profile.aflw.name, paths.ROOT / profile.aflw.root)
    return index, _crops(profile, profile.aflw, index, jobs)


def prepare_videos(profile, jobs=2):
    """Index and crops of a profile's videos.

    Frames that the published list calls broken are there: a stream runs over them, and scores
    leave them out.

    Returns:
        dict from data set to its index (one row a frame) and its `Crops`, rows alike.

    Raises:
        datasets.DatasetError: what is missing or broken, all at once.
    """
    render_videos(profile, jobs)
    made = {}
    for data in profile.videos:
        reader = datasets.reader(data.name)
        keep = {"keep_broken": True} if data.name == "300VW" else {}
        index = reader.read(paths.ROOT / data.root, **keep)
        made[data.name] = index, _crops(profile, data, index, jobs)
    return made


def _crops(profile, data, index, jobs, name=None):
    name = name or data.name
    settings = profile.settings_of(name)
    return crop_cache.build(
        index,
        paths.ROOT / data.root,
        paths.crops(profile.name, name),
        size=settings.size,
        scale=settings.scale,
        context=settings.context,
        oversample=settings.oversample,
        jobs=jobs,
        scheme=datasets.scheme(data.name, paths.ROOT / data.root) if data.name == OWN else None,
    )
