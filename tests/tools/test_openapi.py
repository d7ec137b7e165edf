"""OpenAPI documents as tools: arguments from path, query and body, shared schemas, and clear words for what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from needle.errors import UserError
from needle.tools.read import load_toolset
from needle.tools.spec import ToolCall
from needle.tools.validate import is_valid

PET = {"type": "object", "required": ["name"], "properties": {
    "id": {"type": "integer", "readOnly": True}, "name": {"type": "string", "example": "Rex"}, "tag": {"type": "string", "nullable": True},
    "owner": {"$ref": "#/components/schemas/Owner"},
}}  # fmt: skip
OWNER = {"type": "object", "properties": {"email": {"type": "string", "format": "email"}, "pets": {"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}}}
DOCUMENT = {
    "openapi": "3.0.3",
    "info": {"title": "Pets", "version": "1"},
    "components": {"schemas": {"Pet": PET, "Owner": OWNER}, "parameters": {
        "Limit": {"name": "limit", "in": "query", "description": "At most so many.", "schema": {"type": "integer", "minimum": 1}},
    }},
    "paths": {
        "/pets": {
            "get": {"operationId": "listPets", "summary": "List all pets.", "parameters": [{"$ref": "#/components/parameters/Limit"}]},
            "post": {"summary": "Add a pet.", "requestBody": {
                "required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}},
            }},
        },
        "/pets/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "put": {"operationId": "renamePet", "parameters": [{"name": "Authorization", "in": "header", "schema": {"type": "string"}}],
                    "requestBody": {"required": True, "content": {"application/json": {"schema": {
                        "type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}}}}},
        },
    },
}  # fmt: skip
SWAGGER = {
    "swagger": "2.0",
    "definitions": {"Note": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}},
    "paths": {"/notes/{book}": {"post": {"operationId": "addNote", "parameters": [
        {"name": "book", "in": "path", "required": True, "type": "string", "enum": ["red", "blue"]},
        {"name": "note", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Note"}},
    ]}}},
}  # fmt: skip


def _tools(tmp_path: Path, document: Any) -> dict[str, Any]:
    path = tmp_path / "api.json"
    path.write_text(json.dumps(document))
    return {tool.name: tool for tool in load_toolset(path)}


def test_every_operation_is_a_tool_with_a_name_and_words(tmp_path: Path) -> None:
    tools = _tools(tmp_path, DOCUMENT)
    assert list(tools) == ["listPets", "post_pets", "renamePet"]
    assert tools["listPets"].description == "List all pets."
    assert tools["listPets"].properties["limit"] == {"type": "integer", "minimum": 1, "description": "At most so many."}


def test_the_properties_of_a_body_are_arguments_and_what_the_server_sets_is_none(tmp_path: Path) -> None:
    tool = _tools(tmp_path, DOCUMENT)["post_pets"]
    assert list(tool.properties) == ["name", "tag", "owner"] and tool.required == ("name",)
    assert tool.properties["name"] == {"type": "string"}
    good = {"name": "Rex", "tag": None, "owner": {"email": "a@b.org", "pets": [{"name": "Mia"}]}}
    assert is_valid([ToolCall("post_pets", good)], [tool])
    assert not is_valid([ToolCall("post_pets", good | {"owner": {"pets": [{"name": 3}]}})], [tool])
    assert not is_valid([ToolCall("post_pets", {"tag": "x"})], [tool])


def test_a_name_that_is_taken_is_told_apart_and_headers_of_the_client_are_left_out(tmp_path: Path) -> None:
    tool = _tools(tmp_path, DOCUMENT)["renamePet"]
    assert tool.properties == {"id": {"type": "integer"}, "body_id": {"type": "string"}}
    assert tool.required == ("id", "body_id")


def test_swagger_is_read_too(tmp_path: Path) -> None:
    tool = _tools(tmp_path, SWAGGER)["addNote"]
    assert tool.properties == {"book": {"type": "string", "enum": ["red", "blue"]}, "text": {"type": "string"}}
    assert tool.required == ("book", "text")


@pytest.mark.parametrize(("schema", "words"), [
    ({"$ref": "other.json#/Pet"}, "bundle it into one file"), ({"$ref": "#/components/schemas/Missing"}, "which it does not have"),
])  # fmt: skip
def test_a_reference_that_leads_nowhere_is_named(tmp_path: Path, schema: dict[str, str], words: str) -> None:
    body = {"content": {"application/json": {"schema": schema}}}
    document = {"openapi": "3.1.0", "paths": {"/x": {"post": {"requestBody": body}}}}
    with pytest.raises(UserError, match=words) as caught:
        _tools(tmp_path, document)
    assert "api.json" in str(caught.value)


def test_a_document_without_operations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no operation"):
        _tools(tmp_path, {"openapi": "3.1.0", "paths": {}})
