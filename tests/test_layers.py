"""src/LAYERS says which folder may include which; nothing else may be included."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
BESIDE = ("fuzz", "bench")  # programs of their own beside src/: any folder of src/, by the same spelling


def read_layers(path):
    """{folder: set of folders it may include}, and the faults of the file itself."""
    layers, faults = {}, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#", 1)[0].strip()
        if not line:
            continue
        folder, colon, allowed = line.partition(":")
        folder = folder.strip()
        if not colon:
            faults.append(f"{path.name}:{number}: no colon")
        elif folder in layers:
            faults.append(f"{path.name}:{number}: {folder} is listed twice")
        else:
            names = allowed.split()
            faults += [f"{path.name}:{number}: {n} is named twice" for n in set(names) if names.count(n) > 1]
            layers[folder] = set(names)
    for folder, allowed in layers.items():
        faults += [f"{path.name}: {folder} may include {n}, which is not listed" for n in allowed - {"*"} - set(layers)]
        if folder in allowed:
            faults.append(f"{path.name}: {folder} names itself")
    return layers, faults


def cycles(layers):
    """Folders that may include themselves by way of others."""
    found, done = [], set()

    def walk(folder, path):
        if folder in path:
            found.append(" -> ".join(path[path.index(folder):] + [folder]))
        elif folder not in done:
            for other in sorted(layers.get(folder, ())):
                if other == "*":
                    for every in sorted(set(layers) - {folder}):
                        walk(every, path + [folder])
                else:
                    walk(other, path + [folder])
            done.add(folder)

    for folder in layers:
        walk(folder, [])
    return found


def file_faults(root, file, folder, allowed):
    """Faults of one file's includes. `allowed` is None where any folder may be included."""
    faults, seen = [], set()
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), file.read_text(), flags=re.DOTALL)
    for match in INCLUDE.finditer(text):
        place = f"{file.relative_to(root)}:{text.count(chr(10), 0, match.start(2)) + 1}"
        bracket, name = match.groups()
        if name in seen:
            faults.append(f"{place}: {name} is included twice")
        seen.add(name)
        target = root / "src" / name
        if bracket == "<":
            if target.is_file():
                faults.append(f'{place}: <{name}> is ours: write "{name}"')
            continue
        parts = name.split("/")
        if allowed is None and len(parts) == 1 and (file.parent / name).is_file() and folder in BESIDE:
            continue  # their own headers, which are nobody else's
        if len(parts) < 2 or ".." in parts or "." in parts:
            faults.append(f'{place}: "{name}" is relative: write "folder/file.h"')
        elif not target.is_file():
            faults.append(f'{place}: there is no src/{name}')
        elif allowed is not None and parts[0] != folder and parts[0] not in allowed:
            faults.append(f"{place}: {folder}/ may not include {parts[0]}/ ({name})")
    return faults


def layer_faults(root):
    layers, faults = read_layers(root / "src" / "LAYERS")
    faults += ["a cycle: " + c for c in cycles(layers)]
    for path in sorted((root / "src").iterdir()):
        if path.is_dir() and path.name not in layers:
            faults.append(f"src/{path.name}/ is not listed in src/LAYERS")
        elif path.suffix in (".c", ".h"):
            faults.append(f"src/{path.name} is in no folder")
    for folder, allowed in layers.items():
        for file in sorted((root / "src" / folder).rglob("*.[ch]")):
            faults += file_faults(root, file, folder, None if "*" in allowed else allowed)
    for beside in BESIDE:
        for file in sorted((root / beside).rglob("*.[ch]")):
            faults += file_faults(root, file, beside, None)
    return faults


def test_every_include_is_allowed_by_layers():
    assert layer_faults(ROOT) == []


GOOD = {
    "src/LAYERS": "# a comment\nbase:\nwire: base\nmain: *\n",
    "src/base/a.h": "#include <stdint.h>\n",
    "src/wire/b.c": '#include "base/a.h"\n/* #include "main/no.h" */\n',
    "src/wire/b.h": "",
    "src/main/m.c": '#include "wire/b.h"\n',
    "fuzz/b_fuzz.c": '#include "wire/b.h"\n',
    "bench/load.c": '#include "load.h"\n#include "wire/b.h"\n',
    "bench/load.h": "",
}
BAD = {
    "upwards": ({"src/base/c.c": '#include "wire/b.h"\n'}, "src/base/c.c:1: base/ may not include wire/"),
    "a folder beside src": ({"fuzz/c.c": '\n#include "wire/none.h"\n'}, "fuzz/c.c:2: there is no src/wire/none.h"),
    "another's header beside src": ({"fuzz/c.c": '#include "load.h"\n'}, 'fuzz/c.c:1: "load.h" is relative'),
    "relative": ({"src/wire/c.c": '#include "b.h"\n'}, 'src/wire/c.c:1: "b.h" is relative'),
    "dots": ({"src/wire/c.c": '# include "../wire/b.h"\n'}, "is relative"),
    "brackets": ({"src/base/c.c": "#include <wire/b.h>\n"}, "<wire/b.h> is ours"),
    "twice": ({"src/wire/c.c": '#include "wire/b.h"\n#include "wire/b.h"\n'}, "src/wire/c.c:2: wire/b.h is included twice"),
    "a folder that is not listed": ({"src/new/c.c": ""}, "src/new/ is not listed"),
    "a file in no folder": ({"src/c.c": ""}, "src/c.c is in no folder"),
    "a cycle": ({"src/LAYERS": "base: wire\nwire: base\nmain: *\n"}, "a cycle: base -> wire -> base"),
    "a cycle by the star": ({"src/LAYERS": "base:\nwire: base main\nmain: *\n"}, "a cycle: "),
    "an unknown name": ({"src/LAYERS": "base:\nwire: bass\nmain: *\n"}, "wire may include bass, which is not listed"),
    "a line twice": ({"src/LAYERS": "base:\nwire: base\nwire: base\nmain: *\n"}, "LAYERS:3: wire is listed twice"),
    "a name twice": ({"src/LAYERS": "base:\nwire: base base\nmain: *\n"}, "LAYERS:2: base is named twice"),
}


def tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_good_tree_has_no_faults(tmp_path):
    assert layer_faults(tree(tmp_path, GOOD)) == []


def test_each_way_to_break_the_layers_is_noticed(tmp_path):
    for number, (what, (files, fault)) in enumerate(BAD.items()):
        faults = layer_faults(tree(tmp_path / str(number), {**GOOD, **files}))
        assert any(fault in f for f in faults), (what, faults)
