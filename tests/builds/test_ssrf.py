# ruff: noqa: E501 (rows are one line)
"""Where a sender's URL may lead: to public addresses only, however they are written, whatever a name says later."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.builds.public_addresses import CLOUDS, OTHERS, SPECIAL_4, SPECIAL_6, public
from service.builds.ssrf import AllowedAddresses, UrlRefused, check
from service.errors import BuildError

PUBLIC = "93.184.215.14"


def no_names(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


@pytest.mark.parametrize(
    "host",
    [
        # IPv4: loopback, private, link-local (the clouds' metadata), carrier-grade, multicast, broadcast, reserved
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "100.100.100.200", "224.0.0.1", "239.255.255.250", "255.255.255.255",
        "240.0.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1",
        # the same in inet_aton's notations: short, octal, hexadecimal, one number, mixed, too long
        "127.1", "127.0.1", "0", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1", "0x7f000001", "0X7F000001", "017700000001",
        "2130706433", "3232235777", "127.0.0.0x1", "0xA9FEA9FE", "1.2.3", "0251.254.169.254", "4294967297",
        "00000177.0.0.1", "127.000.000.001", "127.0.0.1.", "0x7f.0x0.0x0.0x1", "1.2.3.4.5", "256.256.256.256",
        # other digits and dots, which IDNA turns into plain ones
        "１２７.0.0.1", "127。0。0。1", "①②⑦.⓪.⓪.①", "１６９．２５４．１６９．２５４",
        # IPv6: loopback, unspecified, link-local, unique local, site-local, multicast, documentation, discard
        "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[fe80::1]", "[fc00::1]",
        "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[100::1]", "[3fff::1]",
        # zone ids
        "[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%251]", "[2606:2800:220:1::1%25lo]",
        # IPv4 in disguise: mapped, compatible, translated, NAT64, 6to4, Teredo
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::FFFF:169.254.169.254]", "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused_in_every_notation(host: str) -> None:
    """And without asking any name server."""
    with pytest.raises(UrlRefused):
        check(f"http://{host}/notify", AllowedAddresses(), no_names)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "//example.com/", "example.com", "https://",
        "https:///notify", "javascript:alert(1)", "",
        # user names, which show one host and mean another
        # pragma: allowlist nextline secret
        "https://user:pass@example.com/", "https://example.com@127.0.0.1/", "https://example.com:80@127.0.0.1/",
        "https://@example.com/", "https://example.com%40127.0.0.1/", "https://a@b@example.com/",
        # some parsers end the host here
        "https://127.0.0.1\\@example.com/", "https://example.com\\.evil.example/", "https://exa mple.com/",
        "https://example.com\t/", "https://example.com\r\nx: y/", "https://example.com\0.evil.example/",
        "https://127.0.0.1%2f.example.com/", "https://127%2e0%2e0%2e1/", "https://example.com%00/",
        "https://[::1/", "https://::1/", "https://[127.0.0.1]/", "https://[example.com]/", "https://.example.com/",
        "https://exam..ple.com/", "https://" + "a" * 64 + ".example/",
        # ports that are not the web's, or none at all
        "http://example.com:25/", "http://example.com:22/", "https://example.com:6379/", "https://example.com:0/",
        "https://example.com:65536/", "https://example.com:-1/", "https://example.com:8a/", "https://example.com:443:80/",
    ],
)  # fmt: skip
def test_a_url_that_is_no_plain_web_address_is_refused(url: str) -> None:
    """Only http and https, one host, no user, the ports of the web. Every name is public here."""
    with pytest.raises(UrlRefused):
        check(url, AllowedAddresses(), lambda host, port: [PUBLIC])


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://example.com", "example.com", "/"),
        ("http://EXAMPLE.com:80/a?b=c&d=%20#e", "example.com", "/a?b=c&d=%20"),
        ("https://example.com:8080/x", "example.com:8080", "/x"),
        ("https://example.com./x", "example.com", "/x"),
        ("https://bücher.example/é", "xn--bcher-kva.example", "/%C3%A9"),
        (f"https://{PUBLIC}/", PUBLIC, "/"),
        ("https://[2606:2800:220:1::1]:443/", "[2606:2800:220:1::1]", "/"),
        ("https://a_b.example/@x", "a_b.example", "/@x"),
    ],
)
def test_a_plain_url_is_what_it_says(url: str, authority: str, path: str) -> None:
    """Name, port and path as the request will have them."""
    target = check(url, AllowedAddresses(), lambda host, port: [PUBLIC])
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize("second", ["10.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%2"])
def test_one_address_that_is_not_public_refuses_the_name(second: str) -> None:
    """A name with several addresses is as good as its worst."""
    with pytest.raises(UrlRefused, match="not a public address"):
        check("https://mixed.example/", AllowedAddresses(), lambda host, port: [PUBLIC, second])


def test_a_name_is_resolved_once() -> None:
    """The name is resolved once, and the connection goes to that address. A second answer would differ."""
    answers = [[PUBLIC], ["127.0.0.1"]]
    assert check("https://rebinding.example/", AllowedAddresses(), lambda host, port: answers.pop(0)).address == PUBLIC
    assert answers == [["127.0.0.1"]]


def test_a_real_resolver_is_not_fooled_by_localhost() -> None:
    """This machine's own names lead to this machine."""
    with pytest.raises(UrlRefused, match="not a public address"):
        check("http://localhost/", AllowedAddresses())


@settings(deadline=None)  # no test measures time
@given(st.ip_addresses(v=4))
def test_a_disguise_is_never_more_public_than_what_it_hides(address: ipaddress.IPv4Address) -> None:
    """Of any IPv4 address: mapped it counts as itself, and otherwise translated it is refused."""
    mapped = ipaddress.IPv6Address(int(ipaddress.IPv6Address("::ffff:0:0")) | int(address))
    assert public(mapped) == public(address)
    for prefix in ("64:ff9b::", "64:ff9b:1::", "::ffff:0:0:0", "::"):
        assert not public(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address)))
    assert not public(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80)))


@settings(deadline=None)  # no test measures time
@given(st.integers(0, 2**32 - 1))
def test_one_number_is_never_a_host(number: int) -> None:
    """inet_aton would accept these decimal, hexadecimal and octal forms. The guard does not."""
    for spelling in (str(number), hex(number), f"0{number:o}"):
        with pytest.raises(UrlRefused):
            check(f"http://{spelling}/", AllowedAddresses(), no_names)


@pytest.mark.parametrize(
    ("setting", "url", "fits"),
    [
        ("127.0.0.0/8", "http://127.0.0.1:5000/", True),
        ("127.0.0.0/8", "http://10.0.0.1/", False),
        ("127.0.0.1:5000", "http://127.0.0.1:5000/", True),
        ("127.0.0.1:5000", "http://127.0.0.1:5001/", False),
        ("[::1]:5000", "http://[::1]:5000/", True),
        ("::1", "http://[::1]:5000/", True),
        ("fd00::/8, evaluator:9000", "http://evaluator:9000/", True),
        ("evaluator:9000", "http://evaluator.example:9000/", False),
    ],
)
def test_what_an_operator_allows(setting: str, url: str, fits: bool) -> None:
    """A network, or one host and port, and nothing else."""
    if fits:
        assert check(url, AllowedAddresses(setting), lambda host, port: ["10.0.0.7"])
    else:
        with pytest.raises(UrlRefused):
            check(url, AllowedAddresses(setting), lambda host, port: ["10.0.0.7"])


@pytest.mark.parametrize("setting", ["example.com", "10.0.0.1/8", "a:b", "10.0.0.0/33"])
def test_a_setting_that_allows_nothing_clear_is_an_error(setting: str) -> None:
    """The error at the start quotes the entry."""
    with pytest.raises(BuildError, match="SAMEBOAT_CALLBACK_ALLOW"):
        AllowedAddresses(setting)


@pytest.mark.parametrize("row", [*SPECIAL_4, *SPECIAL_6, *OTHERS, *CLOUDS, "192.0.0.192", "192.0.0.8", "168.63.129.16"])
def test_no_row_of_a_registry_and_no_host_of_a_cloud_is_public(row: str) -> None:
    """First, middle and last address of each, independent of this Python's own tables. Mapped to IPv6 as well."""
    network = ipaddress.ip_network(row)
    for address in (network[0], network[network.num_addresses // 2], network[-1]):
        if row != "::ffff:0:0/96":
            assert not public(address)
            with pytest.raises(UrlRefused, match="not a public address"):
                check("https://name.example/", AllowedAddresses(), lambda host, port, there=address: [str(there)])
        if isinstance(address, ipaddress.IPv4Address):
            assert not public(ipaddress.ip_address(f"::ffff:{address}"))


@pytest.mark.parametrize(
    "row", [row for row in (*SPECIAL_4, *SPECIAL_6) if row not in ("::ffff:0:0/96", "::/128", "::1/128", "fe80::/10")]
)
def test_what_lies_beside_a_row_is_judged_by_itself(row: str) -> None:
    """The neighbours of a row are public unless another row holds them: the tables refuse no more than they say."""
    network = ipaddress.ip_network(row)
    rows = [ipaddress.ip_network(each) for each in (*SPECIAL_4, *SPECIAL_6, *OTHERS, *CLOUDS)]
    for number in (int(network[0]) - 1, int(network[-1]) + 1):
        if not 0 <= number < 2**network.max_prefixlen:
            continue
        address = type(network[0])(number)
        held = any(address.version == each.version and address in each for each in rows)
        unicast = address.version == 4 or address in ipaddress.ip_network("2000::/3")
        assert public(address) == (unicast and not held)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "1.1.1.1", "100.63.255.255", "172.15.0.1", "192.0.1.1", "223.255.255.255",
                                     "2606:4700::1111", "2a00:1450:4001::1", "2001:200::1", "2001:4860:4860::8888"])  # fmt: skip
def test_the_public_internet_is_public(address: str) -> None:
    """Addresses of which anybody's web server may have one."""
    assert public(ipaddress.ip_address(address))
