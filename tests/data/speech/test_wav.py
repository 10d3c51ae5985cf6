from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snnjax.data import DataError
from snnjax.data.speech import read_wav
from tests.data.speech.files import write_wav

AUDIO = np.array([0.0, 0.5, -0.5, -1.0, 0.25])


@pytest.mark.parametrize("width", [1, 2, 4])
def test_samples_of_every_width_come_back(tmp_path: Path, width: int) -> None:
    rate, audio = read_wav(write_wav(tmp_path / "a.wav", AUDIO, width=width), rates=(8000,))
    assert rate == 8000
    assert audio.dtype == np.float32
    np.testing.assert_array_equal(audio, AUDIO)


def test_one_of_several_rates_is_told(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", AUDIO, rate=16000)
    assert read_wav(path, rates=(8000, 16000))[0] == 16000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 16000}, "has 16000 samples a second; 8000 are needed.*sox in.wav -r 8000"),
        ({"channels": 2}, "has 2 channels; one is needed.*-c 1"),
        ({"width": 3}, "samples of 24 bits; 8, 16 or 32 are read.*-b 16"),
    ],
)
def test_another_format_is_refused_with_the_remedy(tmp_path: Path, options, message: str) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(6), **options)
    with pytest.raises(DataError, match=rf"a\.wav.*{message}"):
        read_wav(path, rates=(8000,))


def test_a_recording_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no samples"):
        read_wav(write_wav(tmp_path / "a.wav", np.zeros(0)), rates=(8000,))


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = write_wav(tmp_path / "a.wav", np.linspace(-0.9, 0.9, 50)).read_bytes()
    path = tmp_path / "cut.wav"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"cut\.wav.*(copy|delete)"):
            read_wav(path, rates=(8000,))


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + bytes(100))
    with pytest.raises(DataError, match="not a PCM wave file"):
        read_wav(path, rates=(8000,))
    with pytest.raises(DataError, match="cannot be read"):
        read_wav(tmp_path / "absent.wav", rates=(8000,))
    sizes = bytearray(write_wav(tmp_path / "b.wav", AUDIO).read_bytes())
    sizes[16] = 200  # of the format, beyond the end of the file
    path.write_bytes(sizes)
    with pytest.raises(DataError, match="not a PCM wave file"):
        read_wav(path, rates=(8000,))
    floats = bytearray(write_wav(tmp_path / "b.wav", AUDIO, width=4).read_bytes())
    floats[20] = 3  # the format tag of IEEE floats
    path.write_bytes(floats)
    with pytest.raises(DataError, match="not a PCM wave file"):
        read_wav(path, rates=(8000,))
