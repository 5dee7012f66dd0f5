import dataclasses
import json

import pytest

from study.landmarks import AFLW19, IBUG68, SCHEMES, TF7, Scheme

ALL = list(SCHEMES.items())


@pytest.mark.parametrize("name, scheme", ALL)
def test_mirroring_twice_changes_nothing(name, scheme):
    assert [scheme.mirror[n] for n in scheme.mirror] == list(range(scheme.count))


@pytest.mark.parametrize("name, scheme", ALL)
def test_areas_hold_every_landmark_exactly_once(name, scheme):
    listed = sorted(n for index in scheme.areas.values() for n in index)
    assert listed == list(range(scheme.count))


@pytest.mark.parametrize("name, scheme", ALL)
def test_a_landmark_and_its_mirror_are_in_one_area(name, scheme):
    area = {n: key for key, index in scheme.areas.items() for n in index}
    assert all(area[n] == area[scheme.mirror[n]] for n in range(scheme.count))


@pytest.mark.parametrize("scheme", [AFLW19, TF7])
def test_names_of_mirror_pairs_differ_in_left_and_right_alone(scheme):
    swap = {"left": "right", "right": "left"}
    for n, name in enumerate(scheme.names):
        mirrored = " ".join(
            swap.get(word.strip(","), word.strip(",")) + "," * word.endswith(",")
            for word in name.split()
        )
        assert scheme.names[scheme.mirror[n]] == mirrored


def test_numbers_of_landmarks_are_the_published_ones():
    assert {name: scheme.count for name, scheme in ALL} == {"ibug68": 68, "aflw19": 19, "tf7": 7}


def test_ibug68_has_its_known_mirror_pairs():
    pairs = {0: 16, 8: 8, 17: 26, 21: 22, 30: 30, 31: 35, 36: 45, 37: 44, 39: 42, 40: 47, 41: 46}
    pairs |= {48: 54, 51: 51, 57: 57, 59: 55, 60: 64, 61: 63, 65: 67, 62: 62, 66: 66}
    assert {n: IBUG68.mirror[n] for n in pairs} == pairs


def test_eye_corners_mirror_onto_each_other():
    for scheme in (IBUG68, TF7):
        left, right = scheme.eye_corners
        assert scheme.mirror[left] == right
    assert IBUG68.eye_corners == (36, 45)
    assert AFLW19.eye_corners is None


def test_ibug68_names_number_each_part():
    assert IBUG68.names[0] == "contour 1"
    assert IBUG68.names[36] == "left eye 1"
    assert IBUG68.names[67] == "inner lip 8"
    assert len(set(IBUG68.names)) == 68


def test_a_scheme_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        IBUG68.count = 5


def test_a_mirror_that_is_no_permutation_is_refused():
    with pytest.raises(ValueError, match="no permutation of 3"):
        Scheme(count=3, mirror=(0, 1, 1), areas={}, names=("a", "b", "c"), eye_corners=None)


def test_a_wrong_number_of_names_is_refused():
    with pytest.raises(ValueError, match="2 names for 3"):
        Scheme(count=3, mirror=(0, 2, 1), areas={}, names=("a", "b"), eye_corners=None)


def test_a_mirror_that_is_no_involution_is_refused():
    with pytest.raises(ValueError, match="mirroring twice"):
        Scheme(count=3, mirror=(1, 2, 0), areas={}, names=("a", "b", "c"), eye_corners=None)


@pytest.mark.parametrize("changed", [{"areas": {"a": (3,)}}, {"eye_corners": (0, 3)}])
def test_areas_and_normaliser_name_landmarks_that_there_are(changed):
    values = dict(count=3, mirror=(0, 1, 2), areas={}, names=("a", "b", "c"), eye_corners=None)
    with pytest.raises(ValueError, match="beyond 3"):
        Scheme(**{**values, **changed})


@pytest.mark.parametrize("name, scheme", ALL)
def test_a_scheme_survives_json(name, scheme):
    assert Scheme.from_dict(json.loads(json.dumps(scheme.as_dict()))) == scheme
    assert scheme.name == name


@pytest.mark.parametrize(
    "changed",
    [{"mirror": [1, 2, 0]}, {"points": 5}, {"areas": []}, {"normalizer": 3}, {"more": 1}],
)
def test_values_that_are_no_scheme_are_refused(changed):
    five = {"name": "x", "points": ["a", "b", "c"], "mirror": [0, 1, 2], "areas": {}}
    with pytest.raises(ValueError):
        Scheme.from_dict({**five, "normalizer": None, **changed})
    with pytest.raises(ValueError, match="a scheme has"):
        Scheme.from_dict(five)
