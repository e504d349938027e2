"""Scripts as parents, and the folders they are started in: what is the program's path?"""

from __future__ import annotations

from scenarios.arguments import quoted
from scenarios.basic import CRON
from scenarios.model import ANY, STAGE, Scenario, Step, fires, shell, silent

_ADD = f"chmod +x {CRON}"
_BODY = f"{_ADD}\n:\n"
_CHMOD = "/usr/bin/chmod"
_LOADER = "/lib64/ld-linux-x86-64.so.2"

SCRIPTS = Scenario(
    "scripts",
    """Scripts as parents: by relative paths, with spaces and long names, through sh, env, an
    interpreter that is a script, options on the first line, none at all; and misleading names.""",
    (
        shell("./plain", fires(_ADD, parent=f"{STAGE}/plain")),
        shell("./folder/../plain", fires(_ADD, parent=f"{STAGE}/plain")),
        shell("cd folder; ../plain; cd ..", fires(_ADD, parent=f"{STAGE}/plain")),
        shell("'./two words'", fires(_ADD, parent=f"{STAGE}/two words")),
        shell(
            "./a-name-longer-than-15-bytes",
            fires(_ADD, parent=f"{STAGE}/a-name-longer-than-15-bytes"),
        ),
        shell(
            quoted("./n\u00e9e \u6f22".encode()),
            fires(_ADD, parent=f"{STAGE}/n\u00e9e \u6f22"),
        ),
        shell("PATH=/srv/demo:$PATH; plain", fires(_ADD, parent=f"{STAGE}/plain")),
        shell("sh plain", fires(_ADD, parent="/usr/bin/dash", because="not by its #! line")),
        shell("sh ./plain", fires(_ADD, parent="/usr/bin/dash")),
        shell("sh /srv/demo/plain", fires(_ADD, parent="/usr/bin/dash")),
        shell("./with-option", fires(_ADD, parent=f"{STAGE}/with-option")),
        shell("./with-env", fires(_ADD, parent="/usr/bin/dash", because="env execs sh with it")),
        shell("./relative-interpreter", fires(_ADD, parent=f"{STAGE}/relative-interpreter")),
        shell("./nested", fires(_ADD, parent=f"{STAGE}/nested")),
        shell("./nested-option x", fires(_ADD, parent=f"{STAGE}/nested-option")),
        shell(
            "./without-line",
            fires(_ADD, parent="/usr/bin/dash", because="the exec fails; dash then execs /bin/sh"),
        ),
        shell("./linked", fires(_ADD, parent=f"{STAGE}/linked", because="a link to a script")),
        shell(
            "/var/lib/dpkg/../../../srv/demo/plain",
            fires(_ADD, parent=f"{STAGE}/plain", because="the path only passes through dpkg's"),
        ),
        shell(
            f"./foo +x {CRON}",
            fires(f"./foo +x {CRON}", because="a link to chmod: the file that runs is chmod"),
        ),
        shell(
            f"bash -c 'exec -a {_LOADER} ./foo +x ./foo {CRON}'",
            fires(
                f"{_LOADER} +x ./foo {CRON}",
                because="made to look like a script ./foo whose interpreter is the loader",
            ),
        ),
        shell(
            f"{_LOADER} {_CHMOD} +x {CRON}",
            silent(
                f"{_LOADER} {_CHMOD} +x {CRON}",
                "the file that runs is the loader; chmod is its data",
            ),
        ),
        shell("sh ./plain +x", fires(_ADD, parent="/usr/bin/dash")),
    ),
    files={
        "plain": f"#!/bin/sh\n{_BODY}",
        "folder/other": "demo\n",
        "two words": f"#!/bin/sh\n{_BODY}",
        "a-name-longer-than-15-bytes": f"#! /bin/sh\n{_BODY}",
        "n\u00e9e \u6f22": f"#!/bin/sh\n{_BODY}",
        "with-option": f"#!/bin/sh -e\n{_BODY}",
        "with-env": f"#!/usr/bin/env sh\n{_BODY}",
        "relative-interpreter": f"#!./sh-copy\n{_BODY}",
        "sh-copy": "copy:/usr/bin/dash",
        "interpreter": f"#!/bin/sh\n{_BODY}",
        "nested": "#!/srv/demo/interpreter\ndemo\n",
        "interpreter-option": f"#!/bin/sh -e\n{_BODY}",
        "nested-option": "#!/srv/demo/interpreter-option -v\ndemo\n",
        "without-line": _BODY,
        "linked": "link:/srv/demo/plain",
        "foo": "link:/usr/bin/chmod",
    },
    targets=(CRON,),
)

_FOLDERS = (b"two words", b"new\nline", b"n\xc3\xa9e \xe6\xbc\xa2", b"not UTF-8 \xff")

FOLDERS = Scenario(
    "folders",
    "Working folders with odd names, one that is gone, and one that is the root.",
    (
        *(
            Step(
                f"mkdir {quoted(name)}; cd {quoted(name)}; cp ../plain .; ./plain; cd ..",
                (fires(_ADD, parent=ANY),),
            )
            for name in _FOLDERS
        ),
        shell(f"mkdir gone; cd gone; rmdir ../gone; {_ADD}; cd /srv/demo", fires(_ADD)),
        shell("cd /; srv/demo/plain; cd /srv/demo", fires(_ADD, parent=f"{STAGE}/plain")),
    ),
    files={"plain": f"#!/bin/sh\n{_BODY}"},
    targets=(CRON,),
)

SCENARIOS = (SCRIPTS, FOLDERS)
