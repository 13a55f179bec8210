from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgead.errors import DataError, EdgeadError
from edgead.mqtt.address import MqttAddress

words = st.text(st.characters(categories=("L", "N", "P", "S"), max_codepoint=0xFFFF), min_size=1, max_size=12)
levels = words.filter(lambda word: not set("+#\ufffd") & set(word))
hosts = st.sampled_from(["broker", "broker.example.org", "10.0.0.8", "[fe80::1]", "[::1]"])


@given(hosts, st.one_of(st.none(), st.integers(1, 65535)), words, words, st.lists(levels, min_size=1, max_size=4),
       st.sampled_from([0, 1, 2]), words, st.booleans())  # fmt: skip
def test_an_address_is_read_back_from_its_parts(host, port, user, password, topic, qos, client, secure):
    login = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    at = f"{host}:{port}" if port else host
    path = "/".join(quote(level, safe="") for level in topic)
    text = f"{'MQTTS' if secure else 'mqtt'}://{login}{at}/{path}?client={quote(client, safe='')}&qos={qos}"
    found = MqttAddress.parse(text)
    assert (found.user, found.password, found.client, found.qos) == (user, password, client, qos)
    assert (found.host, found.port) == (host.strip("[]"), port or (8883 if secure else 1883))
    assert (found.topic, found.secure, found.ca) == ("/".join(topic), secure, None)
    assert found.where == f"{'mqtts' if secure else 'mqtt'}://{host}:{found.port}/{found.topic}"
    assert MqttAddress.parse(text.replace(login, "")).where == found.where  # nothing of who logs in


@given(st.text(st.characters(categories=("L", "N"), max_codepoint=0x7F), min_size=6).map(lambda text: f"pw{text}"),
       st.sampled_from(["mqtt://u:{}@h", "mqtt://u:{}@h:0/t", "mqtt://u:{}@h:x/t", "mqtt://u:{}@h/t?qos=3", "mqtt://:{}@h/t",
                        "mqtt://u:{}#@h/t", "mqtt://u:{}@h/t?ca=x", "mqtt://u:{}@h/+/t", "mqt://u:{}@h/t",
                        "mqtt://u:{}@/t", "mqtt://u:/{}@h/t", "mqtt://u:1/{}@h/t", "mqtt://u:1?{}@h/t",
                        "mqtt://u:{}@h/t?user=1&password={}", "mqtt://u:{}@[h/t"]))  # fmt: skip
def test_what_is_no_address_says_so_without_the_password(password, text):
    with pytest.raises(DataError) as raised:
        MqttAddress.parse(text.replace("{}", password))
    assert password not in str(raised.value) and raised.value.todo


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text):
    for begin in ("", "mqtt://", "mqtts://h/"):
        try:
            found = MqttAddress.parse(begin + text)
        except EdgeadError:
            continue
        assert found.host and found.topic and found.topic.isprintable() and not set("+#") & set(found.topic)


def test_what_is_not_given_has_a_default(tmp_path: Path):
    one, other = MqttAddress.parse("mqtt://h/t"), MqttAddress.parse("mqtt://h/t")
    assert (one.qos, one.user, one.password) == (1, None, None)
    assert one.client != other.client and one.client.isalnum() and len(one.client) <= 23  # what every broker takes
    assert "geheim" not in repr(MqttAddress.parse("mqtt://anna:geheim@h/t"))
    (tmp_path / "ca.pem").write_text("")
    assert MqttAddress.parse(f"mqtts://h/t?ca={tmp_path / 'ca.pem'}").ca == tmp_path / "ca.pem"
    with pytest.raises(DataError, match=r"no file of certificates.*missing\.pem"):
        MqttAddress.parse("mqtts://h/t?ca=missing.pem")
