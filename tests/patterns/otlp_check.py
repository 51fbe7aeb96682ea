"""Checks that a text is what OpenTelemetry's collectors take: OTLP in JSON, a request on each line.

    otlp_check.py [FILE]                   checks the file, or standard input
    otlp_check.py --run PROGRAM [ARG...]   checks what the program writes to its standard output

Besides the form of each field, spans must end after they start, ids must be unique, and a parent
must be among the spans, in the same trace and with no later start. (So the text must be of whole
traces that began in the program.)
"""

import json
import re
import subprocess
import sys

INT64 = range(-(2**63), 2**63)
KINDS = range(1, 6)
NUMBERS_AS_TEXT = {"NaN", "Infinity", "-Infinity"}
faults = []


def expect(holds, where, what):
    if not holds:
        faults.append(f"{where}: {what}")
    return holds


def fields(where, thing, required, optional=()):
    """Whether `thing` is an object with the required keys and no unknown ones."""
    if not expect(isinstance(thing, dict), where, f"an object expected, not {thing!r}"):
        return False
    missing = sorted(set(required) - set(thing))
    unknown = sorted(set(thing) - set(required) - set(optional))
    return expect(not missing, where, f"lacks {missing}") & expect(
        not unknown, where, f"has unknown {unknown}"
    )


def is_id(text, size):
    return (
        isinstance(text, str)
        and re.fullmatch("[0-9a-f]{%d}" % (2 * size), text) is not None
        and text.strip("0") != ""
    )


def is_uint64_text(text):
    return isinstance(text, str) and re.fullmatch("[0-9]+", text) is not None and int(text) < 2**64


def is_double(number):
    if isinstance(number, str):
        return number in NUMBERS_AS_TEXT
    return isinstance(number, (int, float)) and not isinstance(number, bool)


VALUES = {
    "stringValue": lambda v: isinstance(v, str),
    "intValue": lambda v: isinstance(v, str)
    and re.fullmatch("-?[0-9]+", v) is not None
    and int(v) in INT64,
    "doubleValue": is_double,
    "boolValue": lambda v: isinstance(v, bool),
}


def check_attributes(where, attributes):
    keys = [a.get("key") for a in attributes]
    expect(len(keys) == len(set(keys)), where, f"a key twice in {keys}")
    for attribute in attributes:
        if not fields(where, attribute, ["key", "value"]):
            continue
        value = attribute["value"]
        if expect(len(value) == 1 and set(value) <= set(VALUES), where, f"no value: {value}"):
            ((kind, content),) = value.items()
            expect(VALUES[kind](content), where, f"{kind} is {content!r}")


def check_events(where, span):
    for event in span.get("events", []):
        if fields(where, event, ["timeUnixNano", "name"], ["attributes"]):
            expect(is_uint64_text(event["timeUnixNano"]), where, "the time of an event")
            expect(isinstance(event["name"], str), where, "the name of an event")
            check_attributes(where, event.get("attributes", []))


def check_status(where, span):
    status = span.get("status", {"code": 0})
    if fields(where, status, ["code"], ["message"]):
        expect(status["code"] in (0, 1, 2), where, f"status code {status['code']!r}")
        expect(isinstance(status.get("message", ""), str), where, "message of a status")


def check_span(where, span):
    """Whether its ids and times can be relied on."""
    required = ["traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano"]
    optional = ["parentSpanId", "traceState", "flags", "attributes", "events", "status"]
    if not fields(where, span, required, optional):
        return False
    where = f"{where} {span['name']!r}"
    expect(isinstance(span["name"], str) and span["name"], where, "the name")
    expect(span["kind"] in KINDS, where, f"kind {span['kind']!r}")
    expect(span.get("flags", 0) in range(2**32), where, f"flags {span.get('flags')!r}")
    check_attributes(where, span.get("attributes", []))
    check_events(where, span)
    check_status(where, span)
    sound = expect(is_id(span["traceId"], 16), where, f"traceId {span['traceId']!r}")
    sound &= expect(is_id(span["spanId"], 8), where, f"spanId {span['spanId']!r}")
    if "parentSpanId" in span:
        parent = span["parentSpanId"]
        sound &= expect(is_id(parent, 8), where, f"parentSpanId {parent!r}")
    for key in ("startTimeUnixNano", "endTimeUnixNano"):
        sound &= expect(is_uint64_text(span[key]), where, f"{key} {span[key]!r}")
    if sound:
        start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
        expect(start <= end, where, "ends before it starts")
    return sound


def spans_of(where, request):
    if not fields(where, request, ["resourceSpans"]):
        return
    for of_resource in request["resourceSpans"]:
        if not fields(where, of_resource, ["resource", "scopeSpans"]):
            continue
        attributes = of_resource["resource"].get("attributes", [])
        check_attributes(where, attributes)
        expect("service.name" in [a.get("key") for a in attributes], where, "no service.name")
        for of_scope in of_resource["scopeSpans"]:
            if fields(where, of_scope, ["scope", "spans"]):
                expect(of_scope["scope"].get("name"), where, "a scope without a name")
                yield from of_scope["spans"]


def check(text):
    """The number of spans."""
    known = {}
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"line {number}"
        try:
            request = json.loads(line)
        except ValueError as error:
            expect(False, where, str(error))
            continue
        for span in spans_of(where, request):
            if check_span(where, span):
                unique = expect(span["spanId"] not in known, where, f"twice: {span['spanId']}")
                if unique:
                    known[span["spanId"]] = span
    for span in known.values():
        where = f"span {span['name']!r}"
        if "parentSpanId" not in span:
            continue
        parent = known.get(span["parentSpanId"])
        if expect(parent, where, f"its parent {span['parentSpanId']} is not there"):
            expect(parent["traceId"] == span["traceId"], where, "its parent is of another trace")
            expect(
                int(parent["startTimeUnixNano"]) <= int(span["startTimeUnixNano"]),
                where,
                "starts before its parent",
            )
    return len(known)


def main(arguments):
    if arguments[:1] == ["--run"]:
        run = subprocess.run(arguments[1:], check=True, stdout=subprocess.PIPE, timeout=60)
        text = run.stdout.decode("utf-8")
    elif arguments:
        with open(arguments[0], encoding="utf-8") as file:
            text = file.read()
    else:
        text = sys.stdin.buffer.read().decode("utf-8")
    spans = check(text)
    expect(spans > 0, "the text", "no spans")
    for fault in faults:
        print(fault)
    print(f"{spans} spans, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
