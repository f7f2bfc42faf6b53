"""Files whose headers are wrong: what they hold is read to its end, and what is missing is named."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf

from loaders.audio import UnusableClipError, read_mono
from loaders.decoders import decode, ffmpeg, sndfile
from loaders.decoders.spans import find_spans
from tests.recorders import LOSSY, RATE, chunk, patched, wav
from tests.recorders import sndfile as encode

SECONDS = 6
TIME = np.arange(SECONDS * RATE) / RATE
NOISE = np.random.default_rng(0).normal(0, 0.02, len(TIME))
SOUND = np.round((0.3 * np.sin(2 * np.pi * 440 * TIME) + NOISE) * 32767) / 32767
STEREO = np.stack([SOUND, SOUND / 2], axis=1)
WAV, FLAC, OGG = wav(SOUND), encode(SOUND, "FLAC", "PCM_16"), encode(SOUND, "OGG", "VORBIS")
MP3 = encode(SOUND, "MP3", "MPEG_LAYER_III")
UNFINISHED, CUT = "its header was never finished", "it was cut off"


@pytest.fixture
def read(tmp_path):
    """The samples of a file of these bytes, and what is said of it."""

    def of(data: bytes, rate: int = RATE) -> tuple[np.ndarray, list[str]]:
        (tmp_path / "x").write_bytes(data)
        remarks: list[str] = []
        return read_mono(tmp_path / "x", rate, remarks=remarks), remarks

    return of


def sizes(riff: int, data: int, behind: bytes = b"") -> bytes:
    return patched(WAV + behind, (4, "<I", riff), (WAV.index(b"data") + 4, "<I", data))


def without_xing(mp3: bytes) -> bytes:
    """All frames but the first, which holds no sound."""
    return mp3[next(at for at in range(4, len(mp3)) if mp3[at : at + 2] == mp3[:2]) :]


FILLED = wav(SOUND, before=chunk(b"FLLR", bytes(4008)))
CAF, RF64 = encode(SOUND, "CAF", "PCM_16"), encode(SOUND, "RF64", "PCM_16")
WHOLE = {  # all of the sound is there; how the remark begins, if there is one
    "RIFF of 36, data of 0": (sizes(36, 0), UNFINISHED),
    "RIFF of 0": (sizes(0, 0), UNFINISHED),
    "RIFF of 4088 and filler": (patched(FILLED, (4, "<I", 4088), (FILLED.index(b"data") + 4, "<I", 0)), UNFINISHED),
    "power lost": (sizes(len(WAV) - 8, 44), "its header promises 0.00 seconds; all 6.00 that it holds are read"),
    **{f"a pipe, {size:#x}": (sizes(size, size), "") for size in (2**31 - 4096, 2**31 - 1, 2**31, 2**32 - 1)},
    "RF64 with an empty ds64": (patched(RF64, (20, "<q", 0), (28, "<q", 0), (36, "<q", 0)), UNFINISHED),
    "CAF without a size": (patched(CAF, (CAF.index(b"data") + 4, ">q", -1)), UNFINISHED),
    "zeros behind": (WAV + bytes(200_000), ""),
    "rubbish behind": (WAV + b"\x7f" * 3000, ""),
    "FLAC without a length": (FLAC[:21] + bytes([FLAC[21] & 0xF0]) + bytes(4) + FLAC[26:], ""),
}


@pytest.mark.parametrize("case", WHOLE)
def test_what_is_there_is_read_whatever_the_header_tells(read, case):
    data, said = WHOLE[case]
    samples, remarks = read(data)
    np.testing.assert_allclose(samples, SOUND, atol=1e-4)
    assert [remark.startswith(said) for remark in remarks] == [True] * bool(said), remarks


def test_sizes_that_wrapped_at_4_gib_are_found_again_and_chunks_behind_are_no_sound(tmp_path):
    size, behind = (1 << 32) + 5_000_000, chunk(b"LIST", bytes(5000))
    head = patched(WAV[:44], (4, "<I", (size + 36 + len(behind)) % 2**32), (40, "<I", size % 2**32))
    with open(tmp_path / "x.wav", "wb") as file:
        file.write(head)
        file.seek(44 + size)  # a hole in the disk
        file.write(behind)
    with open(tmp_path / "x.wav", "rb") as file:
        (part,) = find_spans(file)
    assert (part.at, part.size) == (44, size)
    assert part.claimed == 5_000_000


JOINED = {  # two files, one after the other: the first of SECONDS, the second of the rest
    "wav": WAV + wav(STEREO, 24),
    "MP3": MP3 + encode(STEREO, "MP3", "MPEG_LAYER_III"),
    "MP3 of another rate": MP3 + encode(SOUND, "MP3", "MPEG_LAYER_III", 48_000),
    "MP3 without Xing": without_xing(MP3) + without_xing(MP3),
    "FLAC": FLAC + encode(STEREO, "FLAC", "PCM_24"),
    "FLAC of another rate": FLAC + encode(SOUND, "FLAC", "PCM_16", 48_000),
    "Ogg": OGG + encode(STEREO, "OGG", "VORBIS"),
    "Vorbis and Opus": OGG + encode(SOUND, "OGG", "OPUS", 48_000),
    **{
        name: 2 * LOSSY[name](SOUND)
        for name in ("aac.m4a", "amr.3gp", "x.aac", "x.amr", "x.wma", "ima4.caf", "adpcm.wav")
    },
}


@pytest.mark.parametrize("case", JOINED)
def test_files_that_were_joined_are_all_read(read, case):
    samples, remarks = read(JOINED[case])
    assert remarks == []
    assert len(samples) == pytest.approx(2 * len(SOUND), abs=3500)
    assert samples[len(samples) // 2 + 5000 :].std() > 0.1


def test_a_variable_bit_rate_without_a_header_is_read_to_its_end(read):
    loud = SOUND * np.where(TIME < 1, 1, 1e-3)
    raw = encode(loud, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE")
    samples, remarks = read(without_xing(raw))
    assert len(samples) == pytest.approx(len(SOUND), abs=3000)
    assert remarks == []


CUT_FILES = [WAV, FLAC, MP3, OGG, RF64, CAF, encode(SOUND, "AIFF", "PCM_16"), encode(SOUND, "AU", "PCM_16")]
CUT_FILES += [without_xing(MP3), *(LOSSY[name](SOUND) for name in ("x.aac", "x.amr", "ima4.caf")), MP3 + MP3]


@pytest.mark.parametrize("data", CUT_FILES, ids=range(13))
def test_the_intact_part_of_a_cut_file_is_used_and_named(read, data):
    samples, remarks = read(data[: len(data) * 3 // 5 + 9])
    assert len(samples) / RATE == pytest.approx(SECONDS * 0.6 * (2 if len(data) == 2 * len(MP3) else 1), abs=0.8)
    assert [remark.startswith(CUT) for remark in remarks] == [True]


ID3, APE = b"ID3\3\0\0\0\0\x20\0" + bytes(4096), b"APETAGEX" + b"Artist" * 99


@pytest.mark.parametrize(("kind", "tag"), [(0, APE), (1, APE), (0, b"TAG" + bytes(125)), (2, b"TAG" + bytes(125))])
def test_tags_are_neither_sound_nor_a_cut(read, kind, tag):
    data = [MP3, without_xing(MP3), LOSSY["x.aac"](SOUND)][kind]
    samples, remarks = read(ID3 + data + tag)
    assert len(samples) == pytest.approx(len(SOUND), abs=4000)
    assert remarks == []


@pytest.mark.parametrize("data", [FLAC, MP3, OGG, LOSSY["x.aac"](SOUND)], ids=range(4))
def test_a_hole_in_a_file_is_named_and_the_rest_used(read, data):
    half = len(data) // 2
    samples, remarks = read(data[:half] + bytes(len(data) // 8) + data[half + len(data) // 8 :])
    assert 0.5 * len(SOUND) < len(samples) < 0.98 * len(SOUND)
    assert remarks[0].startswith(CUT)


@pytest.mark.parametrize("behind", [0, 6, 18, 26, 300], ids=["mark", "position", "number", "segments", "sound"])
@pytest.mark.parametrize("joined", [b"", OGG], ids=["one", "joined"])
def test_a_bit_that_flipped_in_a_page_of_ogg_is_named_with_what_it_costs(read, behind, joined):
    at = OGG.index(b"OggS", len(OGG) // 2)
    remarks = read(joined + OGG[: at + behind] + bytes([OGG[at + behind] ^ 1]) + OGG[at + behind + 1 :])[1]
    assert [remark.startswith("it was cut off or is damaged: holds ") for remark in remarks] == [True]


@pytest.mark.parametrize(
    ("container", "coding"),
    [
        *(("WAV", coding) for coding in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")),
        *(("WAV", coding) for coding in ("IMA_ADPCM", "MS_ADPCM", "GSM610")),
        *(("AIFF", coding) for coding in ("PCM_S8", "PCM_U8", "PCM_24", "DOUBLE", "ULAW", "ALAW", "IMA_ADPCM")),
        *(("CAF", coding) for coding in ("PCM_S8", "PCM_24", "FLOAT", "ALAW", "ALAC_24")),
        *(("AU", coding) for coding in ("PCM_S8", "PCM_24", "DOUBLE", "ULAW")),
        *((container, "PCM_16") for container in ("W64", "RF64", "WAVEX", "VOC", "NIST", "SVX", "PAF", "MAT5")),
        ("FLAC", "PCM_S8"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("n", [700, 16_000, 100_000])
def test_samples_are_those_of_libsndfile(tmp_path, container, coding, n):
    path = tmp_path / "x"
    one = coding in ("GSM610", "IMA_ADPCM") or container == "SVX"
    path.write_bytes(encode((SOUND if one else STEREO)[:n], container, coding))
    expected, rate = sf.read(path, dtype="float32", always_2d=True)
    blocks = list(decode(path, remarks := []))
    assert {its_rate for _, its_rate in blocks} == {rate}
    np.testing.assert_allclose(np.concatenate([block for block, _ in blocks]), expected, rtol=0, atol=1e-4)
    assert remarks == []


def test_without_pyav_a_compressed_file_says_what_to_install_and_others_are_read(read, monkeypatch):
    monkeypatch.setattr(ffmpeg, "av", None)
    with pytest.raises(UnusableClipError, match="pip install av"):
        read(FLAC)
    for data in (WAV, OGG):
        assert len(read(data)[0]) == len(SOUND)


def test_the_features_of_a_wav_do_not_import_pyav(tmp_path, request):
    (tmp_path / "x.wav").write_bytes(WAV)
    code = "import sys, pathlib; from loaders.audio import read_mono; read_mono(pathlib.Path(sys.argv[1]), 16000); "
    code += "sys.exit('av' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "x.wav")]
    assert subprocess.run(command, cwd=request.config.rootpath, check=False).returncode == 0


@pytest.mark.parametrize("name", ["x.mp3", "x.wav", "x.m4a"])
@pytest.mark.parametrize(
    "data",
    [b"ID3\3\0\0\0\0\0\0" + b"\xff\xfb" * 900, b"#EXTM3U\n/etc/passwd\n", WAV[:30], b"fLaC" * 9],
    ids=["tags", "a playlist", "a header", "marks"],
)
def test_what_is_no_sound_has_a_reason_of_ours_and_nothing_is_printed(tmp_path, capfd, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnusableClipError, match=r"^(not readable as audio: .*; |holds no samples)"):
        read_mono(tmp_path / name, 16000)
    assert capfd.readouterr() == ("", "")


def test_a_playlist_opens_no_other_file(tmp_path, read):
    (tmp_path / "other.wav").write_bytes(WAV)
    with pytest.raises(UnusableClipError, match="no known format"):
        read(b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:5,\n" + str(tmp_path / "other.wav").encode() + b"\n#EXT-X-ENDLIST\n")


def test_blocks_are_bounded_whatever_the_header_claims(tmp_path):
    (tmp_path / "x.wav").write_bytes(patched(WAV, (22, "<H", 1000), (32, "<H", 2000)))
    assert max((block.size for block, _ in decode(tmp_path / "x.wav", [])), default=0) <= sndfile.BLOCK
