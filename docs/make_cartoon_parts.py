"""Write the drawings of the cartoon, from DiceBear's files.

    pip install dicebear-styles
    python docs/make_cartoon_parts.py

They are kept in `speech2face/assets/cartoon-parts.json`. DiceBear has "Avataaars" by Pablo Stanley
as trees of elements. Of each part that the rules of the cartoon can choose, the text of its SVG is
kept, with gaps such as `{hair}` where a colour belongs, so that nobody needs DiceBear to draw one.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

STYLE = "avataaars"
ASSETS = Path(__file__).resolve().parent.parent / "speech2face" / "assets"


def main() -> None:
    """Write the file of the parts that the rules name."""
    style = json.loads((files("dicebear_styles") / f"{STYLE}.json").read_text("utf-8"))
    rules = json.loads((ASSETS / "cartoon-rules.json").read_text("utf-8"))
    content = {
        "source": _source(style["meta"]),
        "parts": {
            layer: {name: _drawing(style, layer, name) for name in _chosen(rules, layer)}
            for layer in rules["layers"]
            if layer in style["components"]
        },
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    (ASSETS / "cartoon-parts.json").write_text(text, "utf-8")


def _source(meta: dict[str, Any]) -> dict[str, str]:
    """Whose drawings these are, and under which terms they may be used."""
    return {
        "title": meta["source"]["name"],
        "artist": meta["creator"]["name"],
        "url": meta["source"]["url"],
        "licence": meta["license"]["name"],
        "notice": meta["license"]["text"],
    }


def _chosen(rules: dict[str, Any], layer: str) -> list[str]:
    """Names of the parts of DiceBear's style that a layer can have."""
    named = {choice["part"] for choice in rules["choices"][layer]}
    return sorted(named - rules["own_parts"].get(layer, {}).keys())


def _drawing(style: dict[str, Any], layer: str, name: str) -> str:
    elements = style["components"][layer]["variants"][name]["elements"]
    return "".join(map(_text, elements))


def _text(element: dict[str, Any]) -> str:
    """An element and what is inside it, as SVG."""
    attributes = "".join(
        f" {name}={quoteattr(_value(value))}" for name, value in element["attributes"].items()
    )
    inside = "".join(map(_text, element.get("children", [])))
    return f"<{element['name']}{attributes}>{inside}</{element['name']}>"


def _value(value: Any) -> str:
    """The value of an attribute; a colour by name is a gap."""
    return "{" + value["name"] + "}" if isinstance(value, dict) else str(value)


if __name__ == "__main__":
    main()
