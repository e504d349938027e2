"""EQL, the Event Query Language, as Elasticsearch runs it, over any mapping.

>>> from auditrule import eql
>>> query = eql.compile('process where process.name == "chmod" and process.args : "+x*"')
>>> process = {"name": "chmod", "args": ["chmod", "+X", "run.sh"]}
>>> query.matches({"event": {"category": ["process"]}, "process": process})
True

What comparisons mean is said in `auditrule.eql.compiler`, how fields are found in
`auditrule.eql.fields`, and what wildcards match in `auditrule.eql.wildcard`.
"""

from auditrule.eql.errors import EqlError, EqlSyntaxError, EqlUnsupportedError
from auditrule.eql.match import Match
from auditrule.eql.query import Query, compile  # noqa: A004

__all__ = ["EqlError", "EqlSyntaxError", "EqlUnsupportedError", "Match", "Query", "compile"]
