"""What schemathesis sends is held open only for a moment: it gives up after ten seconds."""

import schemathesis


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("max_wait"), (int, float)) and body["max_wait"] > 0.2:
        body["max_wait"] = 0.1
    return body


@schemathesis.hook
def map_query(context, query):
    if query and isinstance(query.get("wait"), (int, float)) and query["wait"] > 0.2:
        query["wait"] = 0.1
    return query


@schemathesis.hook
def filter_query(context, query):
    # An empty parameter counts as absent, as forms send fields that were left empty. The document cannot say so.
    return not query or all(value not in ("", [""], None) for value in query.values())
