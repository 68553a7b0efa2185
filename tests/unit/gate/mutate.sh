#!/bin/sh
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Mutation test of plugins/plugin_utils/gate with the mutants of mutmut 3.3.1, in a copy: the mutated modules need a
# tree whose paths are the import names, and nothing of it belongs into the working copy.
#
# usage: mutate.sh SCRATCH_DIRECTORY PYTHON [PATTERN...]
#   PYTHON    has the collection's test requirements and mutmut==3.3.1
#   PATTERN   shell patterns of mutants, such as 'verdict.x_decide__mutmut_*'; all without any
# Results are kept in SCRATCH_DIRECTORY/results.json; a second run takes what survived the first one only. Delete the
# file when a module was changed: mutants are numbered by function.
# MUTATE_JOBS is the number of mutants at a time (2), MUTATE_MOST that of tests beside those of the nearest files (100).
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
scratch=$1 python=$2
shift 2
base=ansible_collections/talosops/selinux
rm -rf "$scratch/ansible_collections" "$scratch/tests" "$scratch/docs"
mkdir -p "$scratch/$base/plugins/plugin_utils" "$scratch/tests/unit"
cd "$scratch"
for package in ansible_collections ansible_collections/talosops $base $base/plugins; do
    touch "$package/__init__.py"
done
for part in __init__.py problem.py canonical.py audit talos gate; do
    cp -r "$root/plugins/plugin_utils/$part" $base/plugins/plugin_utils/
done
cp -r "$root/tests/unit/gate" tests/unit/
cp -r "$root/docs" .
cat > tests/conftest.py <<'PY'
import sys
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
settings.register_profile(
    "mutation",
    max_examples=40,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutation")
PY
exec "$python" tests/unit/gate/mutate.py results.json "$@"
