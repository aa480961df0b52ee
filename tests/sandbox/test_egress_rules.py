"""What the egress proxy reads from a request, and which addresses it connects to."""

from __future__ import annotations

import ipaddress

import pytest

from sandbox import http_head, proxy
from sandbox.addresses import carried, is_one_host, is_public
from sandbox.http_head import BadRequest
from sandbox.places import BadPlace, Place, Places


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1"),
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
        *("255.255.255.255", "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1"),
        *("64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1"),
        *("3fff::1", "5f00::1", "4000::1", "2001:20::1"),
    ],
)
def test_an_address_that_is_not_the_publics_is_known(address: str):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1", "::ffff:1.1.1.1", "64:ff9b::101:101"],
)
def test_a_public_address_is_known(address: str):
    assert is_public(ipaddress.ip_address(address))


def test_6to4_carries_the_address_after_its_prefix():
    assert carried(ipaddress.ip_address("2002:7f00:1::")) == ipaddress.ip_address("127.0.0.1")


@pytest.mark.parametrize("address", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "::", "ff02::1", "::ffff:224.0.0.1"])
def test_a_group_is_no_host_whatever_the_owner_allows(address: str):
    place = Place("group.test", 80)
    assert not is_one_host(ipaddress.ip_address(address))
    with pytest.raises(proxy.Refused):
        proxy.check(place, [ipaddress.ip_address(address)], Places.parse(["group.test"]))


def test_a_public_name_with_one_inner_address_is_refused_as_a_whole():
    found = [ipaddress.ip_address("1.1.1.1"), ipaddress.ip_address("10.0.0.1")]
    with pytest.raises(proxy.Refused, match=r"10\.0\.0\.1"):
        proxy.check(Place("both.test", 443), found, Places())
    assert proxy.check(Place("both.test", 443), found, Places.parse(["both.test"])) == found


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "host",
            "host:",
            ":443",
            "host:0",
            "host:65536",
            "host:٤٤٣",
            "host:+80",
            "host:80:80",
            "a b:80",
            "a@b:80",
        ),
        *("2130706433:80", "0x7f000001:80", "127.1:80", "0177.0.0.1:80", "127.0.0.1.:99999", "1.2.3:80", "0x7f.1:80"),
        *(
            "[::1%eth0]:80",
            "[::1:80",
            "::1:80",
            "[v1.x]:80",
            "[::1]x:80",
            "exämple.org:80",
            "xn--a\u202e:80",
            "a..b:80",
        ),
        *("-a.org:80", "a" * 64 + ".org:80", "a/b:80", "a#b:80", "a%00b:80", "a\\b:80", "*.a.org:80", "a.org.:x"),
    ],
)
def test_an_authority_in_an_odd_form_is_refused(text: str):
    with pytest.raises(BadPlace):
        Place.parse(text)


def test_a_place_has_one_form():
    assert str(Place.parse("EXAMPLE.org.:443")) == "example.org:443"
    assert str(Place.parse("[0:0::1]:80")) == "[::1]:80"
    assert str(Place.parse("my_host-1.lan:8080")) == "my_host-1.lan:8080"


@pytest.mark.parametrize(
    ("rule", "allowed", "not_allowed"),
    [
        (
            "example.org",
            ["example.org:443", "example.org:80"],
            ["example.org:22", "a.example.org:443", "example.org.evil:80"],
        ),
        ("example.org:8443", ["example.org:8443"], ["example.org:443"]),
        ("*.example.org", ["a.example.org:443", "a.b.example.org:80"], ["example.org:443", "badexample.org:443"]),
        ("example.org:*", ["example.org:22", "example.org:443"], ["other.org:443"]),
        ("*", ["any.test:443"], ["any.test:22"]),
        ("*:25", ["any.test:25"], ["any.test:443"]),
        ("[2606:4700::1]:443", ["[2606:4700:0::1]:443"], ["[2606:4700::2]:443"]),
    ],
)
def test_a_rule_allows_what_it_names(rule: str, allowed: list[str], not_allowed: list[str]):
    places = Places.parse([rule])
    assert all(places.allow(Place.parse(text)) for text in allowed)
    assert not any(places.allow(Place.parse(text)) for text in not_allowed)


def test_what_a_job_declares_is_cut_down_to_what_the_owner_lets_tools_have():
    rules = proxy.Rules(
        Places.parse(["all.test"]), Places.parse(["a.test", "b.test"]), Places.parse(["b.test", "c.test"]), Places()
    )
    reached = [name for name in ("all", "a", "b", "c") if rules.allow(Place(f"{name}.test", 443))]
    assert reached == ["all", "b"]


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /local HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET https://a.test/ HTTP/1.1\r\n\r\n",
        b"GET ftp://a.test/ HTTP/1.1\r\n\r\n",
        b"GET http://user:pass@a.test/ HTTP/1.1\r\n\r\n",
        b"GET http://a.test/ HTTP/2\r\n\r\n",
        b"GET http://a.test/ x HTTP/1.1\r\n\r\n",
        b"get http://a.test/ HTTP/1.1\r\n\r\n",
        b"GET http://a.test/\tHTTP/1.1\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        b"POST http://a.test/ HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nX-A : b\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\n folded\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nX: a\nHost: b\r\n\r\n",
        b"GET http://a.test/ HTTP/1.1\r\nX: a\0\r\n\r\n",
        b"GET http://\xc3\xa4.test/ HTTP/1.1\r\n\r\n",
        b"CONNECT a.test:443 HTTP/1.1\r\nProxy-Authorization: Basic x\r\nProxy-Authorization: Basic y\r\n\r\n",
    ],
)
def test_a_request_with_two_meanings_is_refused(raw: bytes):
    with pytest.raises(BadRequest):
        http_head.parse(raw)


def test_a_forwarded_request_names_the_host_that_was_checked_and_nothing_of_the_proxys():
    raw = (
        b"POST http://a.test:81?q HTTP/1.1\r\nHost: inner.test\r\nProxy-Authorization: Basic abc\r\n"
        b"Proxy-Connection: keep-alive\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nUpgrade: h2c\r\nAccept: */*\r\n"
        b"Content-Length: 4\r\n\r\n"
    )
    request = http_head.parse(raw)
    assert (request.authority, request.credentials, request.body_bytes) == ("a.test:81", "Basic abc", 4)
    assert request.forwarded == (
        b"POST /?q HTTP/1.1\r\nHost: a.test:81\r\nAccept: */*\r\nContent-Length: 4\r\nConnection: close\r\n\r\n"
    )


def test_an_answer_cannot_be_split_by_what_was_asked_for():
    said = http_head.answer(403, "a\r\nSet-Cookie: x")
    assert said.count(b"\r\n\r\n") == 1
    assert b"\r\nSet-Cookie" not in said
