"""Lists of a face detector's boxes, in both forms."""

import pytest

from study.datasets import DatasetError, boxes


def test_a_list_is_read_by_the_id_behind_the_data_sets_folder(tmp_path):
    file = tmp_path / "common.DET"
    file.write_text("datasets/300W/helen/testset/1_2.jpg d/300W/helen/1_2.pts 1.5 2 30 41.25\n\n")
    found = boxes.read(file)
    assert list(found) == ["helen/testset/1_2"]
    assert found["helen/testset/1_2"].tolist() == [1.5, 2, 30, 41.25]


def test_a_csv_is_read_by_its_boxes_in_the_cut_pictures(tmp_path):
    file = tmp_path / "crops.csv"
    file.write_text(
        "crop,det_x1,cdet_x1,cdet_y1,cdet_x2,cdet_y2\nafw/a_1.jpg,99,1,2,3,4\n"
    )
    assert {id: box.tolist() for id, box in boxes.read(file).items()} == {"afw/a_1": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    "values", ["1 2 3", "1 2 x 4", "5 2 3 4", "1 2 3 nan"]
)
def test_a_line_that_is_no_box_is_named_with_its_number(tmp_path, values):
    file = tmp_path / "some.DET"
    file.write_text(f"300W/a.jpg 300W/a.pts 1 2 3 4\n300W/b.jpg 300W/b.pts {values}\n")
    with pytest.raises(DatasetError, match=r"some\.DET:2: b\.jpg: no box"):
        boxes.read(file)


def test_a_missing_or_empty_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match="none.DET"):
        boxes.read(tmp_path / "none.DET")
    (tmp_path / "empty.csv").write_text("crop,cdet_x1\n")
    with pytest.raises(DatasetError, match="empty.csv: holds no box"):
        boxes.read(tmp_path / "empty.csv")
