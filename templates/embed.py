"""Device templates as C arrays, for the build: embed.py OUTPUT TEMPLATE.yaml..."""

import sys
from pathlib import Path

output, *templates = map(Path, sys.argv[1:])
texts = {t.stem: t.read_bytes() + b"\0" for t in sorted(templates)}
arrays = "".join(
    f"static const char text_{i}[] = {{\n" + "".join(
        "\t" + " ".join(f"{byte}," for byte in text[at:at + 24]) + "\n" for at in range(0, len(text), 24)) + "};\n\n"
    for i, text in enumerate(texts.values()))
assert all(byte < 128 for text in texts.values() for byte in text), "templates are ASCII"
rows = "".join(f'\t{{"{name}", text_{i}}},\n' for i, name in enumerate(texts))
output.write_text(f"""#include <stddef.h>

#include "config/expand.h"

{arrays}const struct template_builtin template_builtins[] = {{
{rows}	{{NULL, NULL}},
}};
""")
