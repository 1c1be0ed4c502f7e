import subprocess
import sys

from server import ROOT


def test_pages_that_start_at_once_leave_each_other_their_folders(tmp_path):
    """A folder that is there, but not locked yet, is no killed process's."""
    script = (
        "import sys; from faceinpaint.page.temporary_files import own_folder\n"
        "for _ in range(200):\n"
        "    with own_folder(sys.argv[1]) as folder:\n"
        "        assert folder.is_dir()"
    )
    starts = [subprocess.Popen([sys.executable, "-c", script, tmp_path], cwd=ROOT) for _ in range(3)]
    assert [start.wait(timeout=240) for start in starts] == [0, 0, 0]
    assert not list(tmp_path.iterdir())
