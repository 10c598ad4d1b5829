"""Reads Flask configuration files as Flask 0.12 does, and says which keys they set to what.

Standard input has a JSON list of {"source": text, "variables": {name: value}}; standard output gets a JSON list of
{"keys": {name: shown}} or {"raises": exception}, in the same order. The one argument is the path to write each file to.
"""
import datetime
import json
import os
import sys
import types
import warnings

from flask import Config

warnings.simplefilter("ignore")


def show(value):
    if isinstance(value, datetime.timedelta):
        return "timedelta %d" % (value // datetime.timedelta(microseconds=1))
    if isinstance(value, (bytes, set, frozenset)):
        return type(value).__name__
    if isinstance(value, (types.ModuleType, type, types.FunctionType, types.BuiltinFunctionType, type(...))):
        return "other"
    return "%s %r" % (type(value).__name__, value)


def read(case):
    os.environ.clear()
    os.environ.update(case["variables"])
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(case["source"])
    config = Config("/")
    try:
        config.from_pyfile(sys.argv[1])
        return {"keys": {key: show(value) for key, value in config.items()}}
    except BaseException as error:
        return {"raises": type(error).__name__}


cases = json.load(sys.stdin)
out, sys.stdout = sys.stdout, open(os.devnull, "w")
json.dump([read(case) for case in cases], out)
