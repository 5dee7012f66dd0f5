"""What each figure of the page shows: a caption for readers, a text for those who cannot see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shown:
    """What stands with a figure.

    Attributes:
        caption: below it: what it is, and what to look for.
        alt: in its place, for those who cannot see it.
    """

    caption: str
    alt: str


FIGURES = {
    "resolution": Shown(
        "NRMSE over the resolution of the heatmaps. On the left, systems of equal L/F stand above "
        "each other; on the right, those whose bins are an equal part of the face. Look for where "
        "the full lines flatten, and for whether the dashed ones, read below the bin, fall at all.",
        "NRMSE of 1D and 2D heatmaps over L/F on the left and over L on the right, with 95 % "
        "intervals, the paper's values in a lighter colour, and the cost of rounding below.",
    ),
    "cumulative_errors": Shown(
        "How many test faces err by how much, read by argmax. Look for lines that cross: they "
        "would help some faces and harm others.",
        "Share of the test faces at or below each NRMSE, one line a system.",
    ),
    "gain_split": Shown(
        "The gain from the shortest heatmaps to the longest, one change at a time. Look for the "
        "steps between the two that rounding makes: they are what longer heatmaps as such give.",
        "The gain from L/F=0.25 to 3 as a staircase of its parts in points of NRMSE, each with its "
        "95 % interval, and the whole.",
    ),
    "gain_lengths": Shown(
        "Every length, and detectors changed in one thing at a time. Lines that lie on each other "
        "are changes without an effect.",
        "NRMSE over L of 1D and 2D detectors and of 1D detectors changed in one thing at a time, "
        "by argmax on the left and by the best decoder on validation on the right.",
    ),
    "gain_order": Shown(
        "L/F or L: two sizes of the crop should fall on one line over whichever of them matters.",
        "NRMSE relative to its lowest over L/F on the left and over L on the right, for crops of "
        "two sizes.",
    ),
    "fig1_quantization": Shown(
        "The paper's Fig. 1, drawn again: what a heatmap of few bins leaves of a landmark.",
        "A drawn eye three times: with a landmark, with the landmark rounded to one of 8 coarse "
        "bins, and rounded to one of 96 fine bins, where it hardly moves.",
    ),
    "quantization_floor": Shown(
        "What rounding true landmarks costs, without any network. The paper's detector falls far "
        "less than rounding does, so most of its error has another cause.",
        "NRMSE that rounding alone causes, falling as one over L; the paper's detector lies above "
        "it and falls far less.",
    ),
    "rivals": Shown(
        "Every system on the same faces, best first: circles are read by the system's own decoder, "
        "diamonds by the one that is best on validation faces.",
        "NRMSE of every system on the same backbone with 95 % intervals, by its own decoder and by "
        "the best on validation faces, best first.",
    ),
    "fig3_coattention": Shown(
        "The paper's Fig. 3. Intervals that cross 0 leave open whether co-attention helps.",
        "Decrease of NRMSE from γ=0 over the weight of co-attention γ, with 95 % intervals; and "
        "the paper's decreases at 0.4 on eight test sets, with ours where measured.",
    ),
    "attention_controls": Shown(
        "Other ways to let each axis know of the other, and co-attention in other detectors. "
        "Attention is worth its cost where it does better than the plain mean of the other axis.",
        "Decrease of NRMSE from γ=0 by ways to join the axes, co-attention and others, and by "
        "co-attention in detectors of other sizes, with 95 % intervals.",
    ),
    "affinity": Shown(
        "Affinity matrices of one detector. Where all weights are alike, co-attention adds the "
        "same mean feature everywhere.",
        "Affinity matrices of co-attention along x and y: the mean of many faces, and one.",
    ),
    "cross_validation": Shown(
        "Each fold's error over the weight. Flat lines leave the choice to chance.",
        "NRMSE on each held-out fold over γ and over λ, relative to the fold's mean, and the mean "
        "over the folds.",
    ),
    "lambda_curve": Shown(
        "What the past is worth at every λ. Look for a top that stands clear of the intervals.",
        "By how much NRMSE of the tracker falls from λ=0 over the weight of the past, λ, from 0 to "
        "1, on each subset of videos, with 95 % intervals, and the paper's at 0.3.",
    ),
    "temporal_motion": Shown(
        "Accuracy against motion. What is left of the dotted line moves less than the truth does.",
        "NRMSE against jitter of detectors and trackers on each subset of videos; a dotted line "
        "marks the jitter of the true landmarks.",
    ),
    "temporal_gain": Shown(
        "Who gains: all landmarks, those that something occludes, and the others.",
        "By how much NRMSE falls from one system to the next, with 95 % intervals, on all "
        "landmarks, on those that something occludes, and on the others.",
    ),
    "tracker_history": Shown(
        "The tracker's training.",
        "Training loss and validation NRMSE of the tracker over the epochs.",
    ),
    "refinement": Shown(
        "Heatmaps before and after refinement, in the frames where it gains most.",
        "1D heatmaps of one landmark before and after temporal refinement, in frames where "
        "refinement gains most.",
    ),
    "stabilisation": Shown(
        "A stabiliser moves less and comes later: read jitter and delay together.",
        "NRMSE, jitter and delay of every system in videos beside each other; dotted lines mark "
        "the jitter of the true landmarks.",
    ),
    "fig4_facial_areas": Shown(
        "The paper's Fig. 4: which part of the face gains. The paper prints its contour alone.",
        "NRMSE of every system on each facial area with 95 % intervals on the left, and on the "
        "right by how much it falls from each of them to ours.",
    ),
    "fig5_variances": Shown(
        "The paper's Fig. 5, in four systems of coordinates. A claim on the contour should not "
        "depend on which of them is looked at.",
        "Variance of x and of y averaged over the landmarks of each facial area, with 95 % "
        "intervals, in four systems of coordinates.",
    ),
    "mean_face": Shown(
        "Why it depends: a crop that is cut around the contour holds the contour still.",
        "The mean of all faces three times, an ellipse of one standard deviation around each "
        "landmark: narrow along the contour in the crop, wide there in the other two.",
    ),
    "memory": Shown(
        "GiB of one training step, counted. What lies above the line does not fit on the card.",
        "GiB of a training step over L of three detectors: 2D with hourglasses as large as the "
        "heatmaps rises above the card's line, 2D deconvolved and 1D stay below.",
    ),
    "detector_history": Shown(
        "The detector's training.",
        "Training loss and validation NRMSE over the epochs.",
    ),
    "prediction_errors": Shown(
        "Where the detector errs: on the mean of all faces, which is nobody's, each landmark with "
        "an ellipse of one standard deviation of what it is missed by; and the mean by area.",
        "The mean face with an ellipse of errors around each of its 68 landmarks, widest along the "
        "jaw; beside it the NRMSE of each facial area with 95 % intervals.",
    ),
    "predictions": Shown(
        "Predictions on rendered test faces. Look at where the two colours part.",
        "Test faces with true and predicted landmarks.",
    ),
    "marginal_heatmaps": Shown(
        "1D heatmaps of some landmarks of one rendered face. Broad or double peaks are doubt.",
        "Predicted 1D heatmaps of some landmarks of one face, and the true places.",
    ),
    "failures": Shown(
        "The worst test faces, each on the mean of all faces: the radius of a circle is how far "
        "that landmark is from the truth, to scale. Neither the face nor a landmark of it, true or "
        "predicted, is drawn.",
        "The mean face several times, each with 68 circles: by how much the landmarks of one of "
        "the worst test faces are missed, with its file and its NRMSE.",
    ),
    "failures_faces": Shown(
        "The worst test faces, rendered ones, with true and predicted landmarks.",
        "The test faces with the largest errors, each with true and predicted landmarks and its "
        "NRMSE.",
    ),
    "shipped_errors": Shown(
        "What a user's box costs, where, and as heads turn aside. Look for marks of one colour "
        "that stand clear above those of the annotated boxes.",
        "NRMSE of the shipped detector by facial area on the left and by how far the head turns "
        "on the right, one mark for each kind of box, with 95 % intervals.",
    ),
    "reliability": Shown(
        "Does confidence mean what it says? All landmarks of the test faces in ten parts by their "
        "confidence. Marks on the dotted diagonal came true as often as was said; marks below it "
        "were too sure.",
        "Share of landmarks that lie close to the truth over their confidence, one line for each "
        "kind of box with 95 % intervals, beside the diagonal.",
    ),
    "contact_sheet": Shown(
        "Rendered faces as they are cached, wider than a detector sees them.",
        "Faces with their 68 landmarks.",
    ),
    "augmented": Shown(
        "What training sees: no crop is seen twice.",
        "The same faces rotated, scaled, shifted, mirrored, recoloured and occluded.",
    ),
    "video_sheet": Shown(
        "Rendered videos, every third frame.",
        "Every third frame of a test video of each subset, with its landmarks.",
    ),
}

# Figures of single faces: shown where the faces are rendered, and kept out of git.
WITH_FACES = ("contact_sheet", "augmented", "marginal_heatmaps", "predictions", "video_sheet")
WITH_FACES += ("refinement", "failures_faces")
