#!/bin/sh
# Copyright (c) 2026, the talosops.selinux authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Mutation test of plugins/plugin_utils/gate with mutmut 3.3.1, in a copy: mutmut needs a tree whose paths are the
# import names, and nothing of it belongs into the working copy.
#
# usage: mutate.sh SCRATCH_DIRECTORY PYTHON [PATTERN...]
#   PYTHON has the collection's test requirements and mutmut==3.3.1 (its use of pytest's item._nodeid must read
#   item.nodeid with pytest 9).
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
scratch=$1 python=$2
shift 2
base=ansible_collections/talosops/selinux
mkdir -p "$scratch/$base/plugins/plugin_utils" "$scratch/tests/unit"
cd "$scratch"
rm -rf mutants
touch ansible_collections/__init__.py ansible_collections/talosops/__init__.py $base/__init__.py $base/plugins/__init__.py
for part in __init__.py problem.py canonical.py audit talos gate; do
    rm -rf "$base/plugins/plugin_utils/$part"
    cp -r "$root/plugins/plugin_utils/$part" $base/plugins/plugin_utils/
done
rm -rf tests/unit/gate docs
cp -r "$root/tests/unit/gate" tests/unit/
cp -r "$root/docs" .
cat > tests/conftest.py <<'PY'
import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
settings.register_profile("mutation", max_examples=40, deadline=None)
settings.load_profile("mutation")
PY
printf '[pytest]\naddopts = -q --import-mode=importlib -p no:cacheprovider\ntestpaths = tests\n' > pytest.ini
cat > setup.cfg <<CFG
[mutmut]
paths_to_mutate=$base/plugins/plugin_utils/gate/
tests_dir=tests/
also_copy=
    ansible_collections/__init__.py
    ansible_collections/talosops/__init__.py
    $base/__init__.py
    $base/plugins/__init__.py
    $base/plugins/plugin_utils/__init__.py
    $base/plugins/plugin_utils/problem.py
    $base/plugins/plugin_utils/canonical.py
    $base/plugins/plugin_utils/audit
    $base/plugins/plugin_utils/talos
    $base/plugins/plugin_utils/gate/data
    docs
    tests
    pytest.ini
CFG
exec "$python" -m mutmut run --max-children 2 "$@"
