# SPDX-License-Identifier: MIT
"""What the self-tests share: a folder per case, and running programs."""

import os
import shutil
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def run(command, **options):
    options.setdefault("env", dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP"))
    return subprocess.run(command, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, **options)


class Folder(unittest.TestCase):
    """A case with a folder of its own."""

    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="aerostat-selftest-")
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, path, text, mode=0o644):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)
        return path
