"""AWS's REST-JSON protocol for Batch, read from botocore's own service model."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote

import botocore.session
from botocore.validate import ParamValidator

# AWS takes these in any case ("isn't case sensitive"), so the enum is checked by its handler.
CASE_FREE_ENUMS = {"RetryAction"}


class ServiceError(Exception):
    """The endpoint is at fault; boto3 raises `ServerException`."""

    code = "ServerException"
    status = 500


class ClientError(ServiceError):
    """The request is at fault; boto3 raises `client.exceptions.ClientException`."""

    code = "ClientException"
    status = 400


class UnsignedError(ServiceError):
    """The request is not signed, so it does not come from an AWS client."""

    code = "MissingAuthenticationTokenException"
    status = 403


class UnknownOperationError(ServiceError):
    """No operation of the model has this method and address."""

    code = "UnknownOperationException"
    status = 404


class Protocol:
    """Turns HTTP requests into checked parameters and results into what the model promises."""

    def __init__(self) -> None:
        self._model = botocore.session.get_session().get_service_model("batch")
        self._validator = ParamValidator()
        self._routes = [
            (http["method"], _pattern(http["requestUri"]), name)
            for name in self._model.operation_names
            for http in [self._model.operation_model(name).http]
        ]

    def parse(self, method: str, raw_path: str, query: str, body: bytes) -> tuple[str, dict]:
        """Return the operation's name and its parameters; raise `ClientError` if they are wrong."""
        name, places = self._route(method, raw_path)
        shape = self._model.operation_model(name).input_shape
        params = _decode(body)
        asked = parse_qs(query, keep_blank_values=True)
        for member, member_shape in shape.members.items():
            location = member_shape.serialization.get("location")
            wire_name = member_shape.serialization.get("name", member)
            if location == "uri":
                params[member] = places[wire_name]
            elif location == "querystring" and wire_name in asked:
                values = asked[wire_name]
                params[member] = values if member_shape.type_name == "list" else values[0]
        self._check(params, shape)
        return name, params

    def render(self, operation: str, result: Mapping[str, Any]) -> bytes:
        """Return the response body, holding only what the operation's output shape knows."""
        shape = self._model.operation_model(operation).output_shape
        return json.dumps(_only_known(result, shape)).encode()

    def _route(self, method: str, raw_path: str) -> tuple[str, dict[str, str]]:
        for wanted, pattern, name in self._routes:
            match = pattern.fullmatch(raw_path) if wanted == method else None
            if match:
                return name, {key: unquote(value) for key, value in match.groupdict().items()}
        raise UnknownOperationError(f"{method} {raw_path} is not an AWS Batch operation")

    def _check(self, params: dict, shape: Any) -> None:
        report = self._validator.validate(params, shape)
        if report.has_errors():
            raise ClientError(f"Error executing request, Exception : {report.generate_report()}")
        _check_enums(params, shape, "")


def _pattern(uri: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(uri)))


def _decode(body: bytes) -> dict:
    if not body.strip():
        return {}
    try:
        params = json.loads(body)
    except ValueError as error:
        raise ClientError(f"The request body is not JSON: {error}") from error
    if not isinstance(params, dict):
        raise ClientError("The request body is not a JSON object")
    return params


def _check_enums(value: Any, shape: Any, where: str) -> None:
    """ParamValidator leaves enums to the service, so the service looks at them here."""
    if shape.type_name == "structure":
        for key, item in value.items():
            _check_enums(item, shape.members[key], f"{where}.{key}")
    elif shape.type_name == "list":
        for number, item in enumerate(value):
            _check_enums(item, shape.member, f"{where}[{number}]")
    elif (
        shape.type_name == "string"
        and shape.enum
        and shape.name not in CASE_FREE_ENUMS
        and value not in shape.enum
    ):
        choices = ", ".join(shape.enum)
        raise ClientError(f"{where.lstrip('.')}: {value!r} is not one of {choices}")


def _only_known(value: Any, shape: Any) -> Any:
    if value is None or shape is None:
        return {} if shape is None else None
    if shape.type_name == "structure":
        return {
            key: _only_known(value[key], member)
            for key, member in shape.members.items()
            if value.get(key) is not None
        }
    if shape.type_name == "list":
        return [_only_known(item, shape.member) for item in value]
    if shape.type_name == "map":
        return {str(key): _only_known(item, shape.value) for key, item in value.items()}
    return _SCALARS.get(shape.type_name, str)(value)


_SCALARS: dict[str, type] = {
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": bool,
}
