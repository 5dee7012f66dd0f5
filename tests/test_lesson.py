import dataclasses

import pytest
import torch

from study import config, lesson

FACES, HELD, SIZE, LENGTH, EPOCHS = 48, 8, 32, 32, 28


@pytest.fixture(scope="module")
def sitters():
    return lesson.render(FACES, HELD, SIZE, jobs=1)


@pytest.fixture(scope="module")
def trained(sitters):
    return lesson.train(sitters, size=SIZE, length=LENGTH, epochs=EPOCHS)


def test_the_lesson_errs_by_much_less_than_the_mean_face(sitters, trained):
    percent = lesson.errors(trained, sitters)
    assert percent["argmax"] < 0.75 * percent["mean face"]
    assert percent["taylor"] < percent["argmax"]


def test_a_lesson_has_a_row_an_epoch_and_a_heatmap_a_landmark(trained):
    assert trained.history["epoch"].tolist() == list(range(1, EPOCHS + 1))
    assert trained.history["loss"].iloc[-1] < trained.history["loss"].iloc[0] / 2
    assert trained.images.shape == (HELD, 3, SIZE, SIZE)
    assert trained.points.shape == trained.predicted.shape == (HELD, 68, 2)
    assert trained.h_x.shape == trained.h_y.shape == (HELD, 68, LENGTH)
    assert not trained.model.training


def test_the_error_of_the_answer_is_the_one_that_training_measured_last(sitters, trained):
    last = trained.history["validation_percent"].iloc[-1]
    assert lesson.errors(trained, sitters)["argmax"] == pytest.approx(last, rel=1e-4)


def test_the_answer_says_yes_only_where_the_mean_face_is_worse(sitters, trained):
    assert lesson.answer(trained, sitters).startswith(f"Yes: after {EPOCHS} epochs on 48 faces")
    silent = dataclasses.replace(
        trained, h_x=torch.zeros_like(trained.h_x), h_y=torch.zeros_like(trained.h_y)
    )  # read at a corner
    assert lesson.answer(silent, sitters).startswith("Not yet: ")


def test_the_same_seed_draws_the_same_faces_and_held_ones_are_others(sitters):
    again = lesson.render(2, 1, SIZE, jobs=1)
    assert torch.equal(again.shown.pictures, sitters.shown.pictures[:2])
    assert torch.equal(again.shown.points, sitters.shown.points[:2])
    assert torch.equal(again.held.points[0], sitters.shown.points[2])
    assert not torch.equal(sitters.held.points[0], sitters.shown.points[0])


def test_faces_of_a_profile_without_crops_are_drawn(monkeypatch):
    monkeypatch.setattr(lesson.config, "load", lambda profile: profile)
    monkeypatch.setattr(lesson.material, "open_crops", lambda settings: None)
    drawn = lesson.faces("tiny", 2, SIZE, jobs=1)
    assert drawn.label == f"{2 + lesson.HELD} rendered stand-ins"
    assert (len(drawn.shown), len(drawn.held)) == (2, lesson.HELD)


def test_one_face_is_too_few():
    with pytest.raises(ValueError, match="1 faces to train on"):
        lesson.faces("tiny", 1, SIZE)


def test_a_length_that_no_detector_has_is_refused(sitters):
    with pytest.raises(config.ConfigError):
        lesson.train(sitters, size=SIZE, length=33, epochs=1)
