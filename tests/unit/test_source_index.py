"""The index finds exactly the sources that a comparison with all of them would look at."""

from hypothesis import given
from hypothesis import strategies as st

from daybook.stores.source_index import SourceIndex

HEADS = st.lists(st.sampled_from(b"ab"), max_size=6).map(bytes)
PATHS = st.sampled_from(["/a", "/b", "/c"])


@given(st.lists(st.tuples(PATHS, HEADS)), st.lists(st.tuples(st.integers(0, 5), PATHS)), PATHS, HEADS)
def test_as_a_comparison_with_all(
    sources: list[tuple[str, bytes]], moves: list[tuple[int, str]], path: str, head: bytes
) -> None:
    index = SourceIndex()
    held = dict(enumerate(sources))
    for number, (place, beginning) in held.items():
        index.put(str(number), place, beginning)
    for number, place in moves:
        if number in held:
            held[number] = place, held[number][1]
            index.put(str(number), *held[number])
    expected = {
        str(number)
        for number, (place, beginning) in held.items()
        if place == path or head.startswith(beginning) or beginning.startswith(head)
    }
    assert index.near(path, head) == expected
    assert {index.path_of(str(number)) for number in held} == {place for place, _ in held.values()}


def test_long_heads_that_differ_late_are_found_together() -> None:
    index = SourceIndex()
    index.put("one", "/one", b"x" * 4000 + b"1")
    index.put("two", "/two", b"x" * 4000 + b"2")
    index.put("other", "/other", b"y" * 4000)
    assert index.near("/three", b"x" * 4000 + b"1") == {"one", "two"}
