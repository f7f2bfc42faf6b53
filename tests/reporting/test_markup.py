"""What goes in as text comes out as text, whatever it is."""

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reporting.heat_map import heat_map
from reporting.markup import Section, card, document, number, paragraph, table, text


class Tags(HTMLParser):
    """The tags of a piece of HTML and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.said = [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.said += data


@pytest.mark.parametrize(
    ("make", "tags"),
    [(text, ["td"]), (paragraph, ["p"]), (lambda said: card("x", said), ["div", "p", "p", "p"])],
)
@given(said=st.text(alphabet="<>&\"'/script aon=", min_size=1))
def test_no_text_can_be_markup(make, tags, said):
    read = Tags(make(said))
    assert read.tags == tags
    assert read.said.removeprefix("x") == said


def test_names_in_the_map_and_in_heads_and_hints_are_escaped():
    evil = "<script>alert(1)</script>"
    drawn = heat_map(np.array([[0, 1], [0, 0]]), np.array([2, 1]), [evil, "b"])
    made = drawn + table("t", [evil], [[text(evil)]], hint=evil) + document(evil, evil, [Section("s", evil, evil, "")])
    assert Tags(made).tags.count("script") == 1  # the page's own
    assert "1 of 2 clips (50%)" in drawn


def test_numbers_are_shown_rounded_and_sorted_by_value():
    assert number(0.12345, ".3f") == '<td class="n" data-v="0.12345">0.123</td>'
    assert 'style="--p:0.5000"' in number(0.5, ".0%", bar=True)
