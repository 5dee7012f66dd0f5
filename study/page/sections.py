"""The page's sections as data: a question, its answer, and what is shown for it, in order.

A section is one entry of `SECTIONS`. Its callables take (found, made), `results.Results` and the
tables of `report.make_tables`.
"""

from dataclasses import dataclass

from study import answers, claims, paper
from study.answers import areas as area_answers, shipped as shipped_answers
from study.page import headlines
from study.tables import temporal

STILLS, CLIPS = "stills", "clips"  # what a section's numbers were measured on


@dataclass(frozen=True)
class Text:
    """A paragraph: words, **strong** ones among them, or what computes them; "" is left out."""

    words: object


@dataclass(frozen=True)
class Heading:
    """A heading within a section; left out where nothing follows it."""

    words: str


@dataclass(frozen=True)
class Figure:
    """A figure with its caption; left out where it has not been made.

    Attributes:
        name: a key of `captions.FIGURES`.
        of: name of the table that it draws; where that has no number, a figure that is there is
            of former records and is left out. None asks nothing.
    """

    name: str
    of: str | None = None


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes:
        name: a key of the tables that `page` collects.
        folded: the words that unfold it; "" shows it.
        otherwise: what is said where it is not there.
        long: so long that it is not printed on paper.
    """

    name: str
    folded: str = ""
    otherwise: str = ""
    long: bool = False


@dataclass(frozen=True)
class Section:
    """One question of the page.

    Attributes:
        id: its anchor.
        short: its name in the table of contents.
        question: its heading.
        answer: callable -> one sentence or two, or "".
        blocks: Text, Heading, Figure and Table, in order.
        full: callable -> the answer with every number, folded; None has none.
        on: STILLS and CLIPS, those of which its numbers come.
        measured: names of the tables that say what it was measured on.
        shown: callable -> whether the section is there; None is always.
    """

    id: str
    short: str
    question: str
    answer: object
    blocks: tuple
    full: object = None
    on: tuple = (STILLS,)
    measured: tuple = ()
    shown: object = None


# --- sentences that are computed ---------------------------------------------------------------


def _table1_note(found, made):
    size = found.profile.crops.size
    return (
        "NRMSE is the mean distance of the landmarks over the distance of the outer eye corners. "
        "Intervals are 95 %, by bootstrap over faces and seeds, in videos over whole videos and "
        f"seeds. Rows are joined on L/F; at equal L/F our bins are {paper.SIZE / size:g} times as "
        f"large a part of the face as the paper's, since our F is {size} px and its F is "
        f"{paper.SIZE} px."
    )


def _readings_of_lambda(found, made):
    tracker = temporal.shown(found.profile)
    words = "The paper does not say whether its tracker with λ=0 was trained so, or trained with "
    words += f"λ={temporal.published_gains()[0]:g} and tested with 0. We do both"
    if tracker is not None:
        lam = tracker.config.lam
        words += f": **test alone** is the tracker that was trained with λ={lam} and tested with 0"
    return (
        f"{words}. In both, frames do not know of each other, but each one's heatmaps are still "
        "refined. A score on a single video has no interval."
    )


def _one_tracker(found, made):
    run = temporal.shown(found.profile)
    ids = found.recorded(run.name) if run is not None else []
    return answers.tracker(found, found.profile.run(ids[0])) if ids else ""


def _memory(found, made):
    ledger = made["memory"]
    return "" if ledger is None else answers.memory(claims.memory(ledger), ledger)


def _parts(found, made):
    cost = made["quantization"]
    full = [answers.parts(made["gain_split"], made["gain_order"])]
    return " ".join(full + ([answers.rounding(cost)] if cost is not None else []))


def _areas(found, made):
    largest = made["variances_contour"]
    full = [area_answers.facial_areas(made["video_rivals_gain"])]
    return " ".join(full + ([area_answers.variances(largest)] if largest is not None else []))


def _attention(found, made):
    names = ("controls", "conditions", "poses")
    full = answers.coattention(made["coattention_gain"], made["coattention"])
    return f"{full} {answers.controls(*(made[f'coattention_{name}'] for name in names))}".strip()


def _licence(found, made):
    """Whether the profile's faces may be seen here, and why."""
    if found.profile.data.standin is not None:
        return (
            "The faces of this profile are rendered stand-ins, so they are shown, with the true "
            "landmarks beside the predicted ones."
        )
    return (
        "The faces of this profile are licensed photographs: no picture of theirs is on this page, "
        "and no landmark of a single face, neither the true ones nor those that we predict. What "
        "is shown is how far predictions are from the truth, on the mean of all faces."
    )


def _shipped(found, made):
    """The answer on the shipped detector, of the tables that are there."""
    return "" if made["shipped"] is None else headlines.shipped(made["shipped"])


def _shipped_in_full(found, made):
    says = (
        (made["shipped"], shipped_answers.scores),
        (made["reliability"], shipped_answers.reliability),
        (made["shipped_choices"], shipped_answers.choices),
    )
    return " ".join(say(table) for table, say in says if table is not None and len(table))


# --- the sections ------------------------------------------------------------------------------

NUMBERS = "The numbers behind it"
NOT_MEASURED = "Nothing has been measured yet."

SECTIONS = (
    Section(
        "resolution",
        "Resolution",
        "Do longer heatmaps locate landmarks better?",
        lambda found, made: " ".join(
            [
                headlines.resolution(made["resolution_gain"], made["resolution_decoders"]),
                headlines.against_2d(made["resolution_gain"]),
            ]
        ).strip(),
        (
            Figure("cumulative_errors"),
            Table("table1"),
            Text(_table1_note),
            Table("gains"),
            Text(
                "Positive: the second is better. A verdict is given by argmax, the paper's "
                "decoder: **reproduced** where the sign is the paper's and the interval excludes "
                "0; **contradicted** where the interval lies on the other side of 0, or wholly "
                "below a quarter of the paper's value; else **inconclusive**."
            ),
            Table("table1_trackers", "Table 1's other half: trackers in videos"),
            Table("decoders", "The same heatmaps, read in six ways"),
            Figure("detector_history"),
        ),
        full=lambda found, made: answers.resolution(
            made["resolution_gain"], made["resolution_decoders"]
        ),
        on=(STILLS, CLIPS),
        measured=("resolution_decoders", "resolution_gain"),
    ),
    Section(
        "parts",
        "The gain",
        "What is the gain made of?",
        lambda found, made: " ".join(
            filter(
                None,
                [headlines.parts(made["gain_split"]), headlines.rounding(made["quantization"])],
            )
        ),
        (
            Text(
                "Longer heatmaps change more than their rounding: the head that makes them has "
                "more weights, the targets are narrower, and what the paper's rule rounds down "
                "carries half a bin of bias. One thing is changed at a time, from the shortest "
                "heatmaps to the longest, and both ends are read below the bin in between, so that "
                "what is left there is no matter of rounding."
            ),
            Figure("gain_split", of="gain_split"),
            Table("gain_split", NUMBERS),
            Figure("gain_order", of="gain_lengths"),
            Figure("gain_lengths", of="gain_lengths"),
            Table("gain_lengths", "Every length and series"),
            Heading("What rounding alone costs"),
            Text(
                "No network here: true landmarks are rounded to the bins of a heatmap and back "
                "(the paper's Section 3). The cost depends on L alone."
            ),
            Figure("fig1_quantization"),
            Figure("quantization_floor", of="quantization"),
            Table(
                "quantization",
                NUMBERS,
                "The table of rounding has not been made yet: it needs the true landmarks.",
            ),
        ),
        full=_parts,
        measured=("gain_split", "gain_lengths"),
    ),
    Section(
        "rivals",
        "Rivals",
        "Who is best on the same backbone?",
        lambda found, made: headlines.rivals(made["rivals_gain"]),
        (
            Figure("rivals", of="rivals"),
            Table("rivals_gains"),
            Table("rivals", "Every system, its decoders and its cost"),
            Heading("Table 3, the paper's numbers and ours"),
            Table("table3"),
        ),
        full=lambda found, made: " ".join(
            [
                answers.rivals(made["rivals"], made["rivals_gain"]),
                answers.cost(made["rivals"]),
            ]
        ).strip(),
        measured=("rivals", "rivals_gain"),
    ),
    Section(
        "coattention",
        "Co-attention",
        "What is co-attention worth?",
        lambda found, made: headlines.coattention(made["coattention_gain"], made["coattention"]),
        (
            Text(
                "Before its heatmaps, the paper's detector lets the features of each axis look at "
                "the other's; γ weighs what they see. At γ=0 it adds nothing."
            ),
            Figure("fig3_coattention", of="coattention"),
            Table("coattention_gains"),
            Figure("attention_controls", of="coattention_controls"),
            Table("controls", NUMBERS),
            Figure("affinity", of="affinity"),
        ),
        full=_attention,
        measured=("coattention", "coattention_gain"),
    ),
    Section(
        "folds",
        "Cross-validation",
        "Which γ and λ would cross-validation choose?",
        lambda found, made: headlines.cross_validation(made["cross_validation"]),
        (
            Text("Folds hold whole photographs, or whole clips; no test face is among them."),
            Figure("cross_validation", of="cross_validation_scores"),
            Table("cross_validation", NUMBERS),
        ),
        full=lambda found, made: answers.cross_validation(made["cross_validation"]),
        on=(STILLS, CLIPS),
        measured=("cross_validation_scores",),
    ),
    Section(
        "temporal",
        "Video",
        "Does the past help?",
        lambda found, made: headlines.temporal_refinement(made["temporal_gain"]),
        (
            Figure("lambda_curve", of="table2_temporal_refinement"),
            Table("table2"),
            Text(_readings_of_lambda),
            Table("table2_videos", "The mean over videos in place of the mean over frames"),
            Heading("Accuracy and motion"),
            Text(
                "A tracker can lower its error by smearing motion. Jitter is the mean acceleration "
                "of the landmarks over the distance of the outer eye corners. A delay of 0 frames "
                "is on time, of 1 shows the frame before."
            ),
            Figure("temporal_motion", of="temporal_motion"),
            Table("motion", NUMBERS, NOT_MEASURED),
            Heading("Who gains, and where"),
            Text(
                "Positive: the second is better. Which landmarks something occludes is known where "
                "occluders were drawn; videos of people have none marked."
            ),
            Figure("temporal_gain", of="temporal_gain"),
            Table("temporal_gains", NUMBERS, NOT_MEASURED),
            Heading("One tracker"),
            Text(_one_tracker),
            Figure("tracker_history", of="tracker_history"),
            Figure("refinement"),
        ),
        full=lambda found, made: answers.temporal(made["temporal_gain"], made["temporal_motion"]),
        on=(CLIPS,),
        measured=("table2_temporal_refinement", "temporal_gain"),
    ),
    Section(
        "video-rivals",
        "Rivals in video",
        "Who is best in videos?",
        lambda found, made: headlines.video_rivals(made["video_rivals_gain"]),
        (
            Text(
                "The rebuilt systems share our crops, clips and backbone. FHR is the detector that "
                "FHR+STA follows frame by frame, and so is coordinate regression to the GAN. What "
                "was not rebuilt keeps the paper's number alone, with the reason."
            ),
            Figure("stabilisation", of="video_rivals_motion"),
            Heading("Tables 4 and 5, the paper's numbers and ours"),
            Table("table4"),
            Table("table5"),
            Table("video_rivals", "Every comparison"),
            Table("stabilisation", "Accuracy, jitter and delay of every system"),
        ),
        full=lambda found, made: area_answers.in_videos(made["video_rivals_gain"]),
        on=(CLIPS,),
        measured=("video_rivals_gain",),
    ),
    Section(
        "areas",
        "Facial areas",
        "Which part of the face gains, and which varies most?",
        lambda found, made: headlines.areas(made["video_rivals_gain"], made["variances_contour"]),
        (
            Figure("fig4_facial_areas", of="facial_areas"),
            Table("facial_areas", NUMBERS),
            Heading("How far landmarks spread"),
            Text(
                "No network here: the variance of each true coordinate over faces, averaged within "
                "each facial area. The paper does not say in which coordinates, so four are here. "
                "Its faces are cropped from a box; ours is the tight box of all landmarks, whose "
                "edges the contour makes."
            ),
            Figure("fig5_variances", of="variances"),
            Figure("mean_face", of="variances_landmarks"),
            Table(
                "contour",
                "Whether the contour's is the largest, reading by reading",
                "The variances have not been measured yet: they need the true landmarks.",
            ),
            Table("variances", "Every variance"),
            Table("aflw", "What AFLW's annotations say without an image", long=True),
        ),
        full=_areas,
        on=(STILLS, CLIPS),
        measured=("video_rivals_gain", "variances_contour"),
    ),
    Section(
        "memory",
        "Memory",
        "Are 2D heatmaps too large at L = F?",
        lambda found, made: headlines.cost(made["memory"]),
        (
            Text(
                "The paper's Table 1 has no 2D detector at L = F, since it exceeds a card of 32 "
                "GiB. Nothing is measured here: what a training step keeps is counted, without a "
                "card."
            ),
            Figure("memory", of="memory"),
            Table("memory", "The ledger", "The ledger has not been made yet."),
        ),
        full=_memory,
        on=(),
    ),
    Section(
        "predictions",
        "Predictions",
        "What do predictions on faces look like?",
        lambda found, made: headlines.predictions(made["failure_areas"]),
        (
            Text(_licence),
            Figure("predictions"),
            Figure("prediction_errors", of="prediction_errors"),
            Figure("marginal_heatmaps"),
            Table("failure_areas"),
        ),
        measured=("failure_areas",),
    ),
    Section(
        "failures",
        "Failures",
        "Which faces does it fail on?",
        lambda found, made: headlines.failing(made["failure_areas"]),
        (
            Figure("failures_faces"),
            Figure("failures", of="failures"),
            Table("failures", "The worst faces, by name", NOT_MEASURED),
        ),
        measured=("failure_areas",),
    ),
    Section(
        "in-your-hands",
        "In your hands",
        "How well does the detector that comes with the study mark a face that you crop yourself?",
        _shipped,
        (
            Text(
                "Benchmarks cut their crops around the true landmarks. Whoever has a photograph "
                "has a box of a face detector instead. So the shipped detector is scored with "
                "each."
            ),
            Table("shipped"),
            Figure("shipped_errors", of="shipped_areas"),
            Table("shipped_areas", "Every facial area"),
            Table("shipped_turns", "Every turn of the head"),
            Heading("Does its confidence mean what it says?"),
            Figure("reliability", of="reliability"),
            Table("reliability", NUMBERS),
            Heading("What was chosen, and on what"),
            Text(
                lambda found, made: ""
                if made["shipped_choices"] is None
                else shipped_answers.choices(made["shipped_choices"])
            ),
            Table("shipped_choices", "Every way to read the heatmaps"),
        ),
        full=_shipped_in_full,
        shown=lambda found, made: made["shipped"] is not None and len(made["shipped"]) > 0,
    ),
)
