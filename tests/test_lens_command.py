"""`bokehforge lens`: what it says of a prescription, and what it draws."""

import cv2
import numpy as np
import pytest

from bokehforge.lens import main
from runtime.command import BAD_INPUT, DONE
from scenes.prescription import load_prescription, prescription_names


def test_without_a_name_every_lens_is_listed(capsys):
    assert main([]) == DONE
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(prescription_names())


def test_a_lens_that_is_scaled_and_stopped_has_that_focal_length_and_f_number(capsys):
    assert main(["biotar", "--focal-length", "35", "--f-number", "4"]) == DONE
    said = capsys.readouterr().out
    assert load_prescription("biotar").name in said
    (line,) = (line for line in said.splitlines() if line.startswith("focal length"))
    assert float(line.split()[2]) == pytest.approx(35.0, abs=1e-3)
    # The stop is set by a real ray; the f-number that is printed is the paraxial one.
    assert float(line.rpartition("f/")[2]) == pytest.approx(4.0, rel=0.01)


def test_the_section_and_the_spots_are_pictures(tmp_path):
    section, spots = tmp_path / "section.png", tmp_path / "spots.jpg"
    assert main(["singlet", "--section", str(section), "--psf", str(spots), "--rays", "200"]) == DONE
    for path in (section, spots):
        picture = cv2.imread(str(path))
        assert min(picture.shape[:2]) > 100 and np.ptp(picture) > 100


@pytest.mark.parametrize("option", ["--psf", "--section"])
@pytest.mark.parametrize("name, said", [("spots.gif", "must end in"), ("nowhere/spots.png", "there is no folder")])
def test_where_nothing_can_be_written_nothing_is_drawn(option, name, said, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bokehforge.lens.section", lambda *_: pytest.fail("drawn"))
    monkeypatch.setattr("bokehforge.lens.plate", lambda *_, **__: pytest.fail("drawn"))
    assert main(["singlet", option, str(tmp_path / name)]) == BAD_INPUT
    shown = capsys.readouterr()
    assert f"{option} is" in shown.err and said in shown.err and shown.out == ""
