import io
import tarfile
import zipfile

import pytest

from keras_transfer.backbones.archives import is_archive, unpack


def write(path, members):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as file:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(content)
            file.addfile(info, io.BytesIO(content or b""))
    return path


@pytest.mark.parametrize("name", ["module.tar.gz", "module.zip", "module.tgz"])
def test_files_come_out_as_they_went_in(tmp_path, name):
    archive = write(tmp_path / name, {"a/saved_model.pb": b"graph", "a/assets/words": b"x"})
    assert is_archive(archive)
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/a/saved_model.pb").read_bytes() == b"graph"
    assert (tmp_path / "out/a/assets/words").read_bytes() == b"x"


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip"])
@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside", "a\\..\\b"])
def test_names_that_lead_out_are_refused(tmp_path, suffix, name):
    archive = write(tmp_path / f"module{suffix}", {"inside": b"1", name: b"2"})
    with pytest.raises(ValueError, match="stay in the folder"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_links_are_refused(tmp_path):
    archive = write(tmp_path / "module.tar.gz", {"link": None})
    with pytest.raises(ValueError, match="'link', which is a link or a device"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("suffix", [".tar.gz", ".zip", ".tar"])
def test_damaged_archive_is_refused(tmp_path, suffix):
    whole = write(tmp_path / f"whole{suffix}", {"file": bytes(range(256)) * 100}).read_bytes()
    archive = tmp_path / f"module{suffix}"
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="whole archive.*Received: .*module"):
        unpack(archive, tmp_path / "out")
