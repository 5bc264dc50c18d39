"""The cookie of a visitor, without a server: whom it names, and to which server."""

from hypothesis import given
from hypothesis import strategies as st

from headwater.access import visitor
from headwater.principal import ANYONE, LEAVES

SECRET, OTHER = b"secret of the store", b"secret of another store"


def test_a_cookie_names_its_visitor_to_the_server_that_made_it() -> None:
    """A visitor is a subject of its own, and never everybody."""
    ann, bob = visitor.new(), visitor.new()

    assert visitor.holder(visitor.issue(ann, SECRET), SECRET) == ann != bob
    assert visitor.principal(ann).tenant == ANYONE.tenant
    assert visitor.principal(ann) not in (visitor.principal(bob), ANYONE)
    assert LEAVES not in visitor.principal(ann).subject


@given(st.data())
def test_no_changed_cookie_names_anybody(data: st.DataObject) -> None:
    """Neither the id nor the signature can be another, and nothing may follow them."""
    cookie = visitor.issue(visitor.new(), SECRET)
    place = data.draw(st.integers(0, len(cookie)))
    end = data.draw(st.integers(place, len(cookie)))
    changed = cookie[:place] + data.draw(st.text(max_size=80)) + cookie[end:]

    assert visitor.holder(changed, SECRET) is None or changed == cookie
    assert visitor.holder(changed, OTHER) is None


def test_servers_under_one_host_name_keep_their_visitors_beside_each_other() -> None:
    """As two ports of `localhost` do; the oldest goes when there are too many, and nobody stands there twice."""
    cookie, ids = "", [visitor.new() for _ in range(visitor.SERVERS + 1)]
    for server, id in enumerate(ids):
        cookie = visitor.issue(id, b"%d" % server, cookie)
    again = visitor.issue(ids[-1], b"%d" % (len(ids) - 1), cookie)

    assert [visitor.holder(cookie, b"%d" % server) for server in range(len(ids))] == [None, *ids[1:]]
    assert again == cookie
    assert visitor.holder(f"{cookie}~{cookie}", b"1") is None, "too long"
