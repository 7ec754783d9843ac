"""What servers of the /infer protocol do beyond it, where they announce it at GET /health."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from imug_tts.contracts import BackboneError
from imug_tts.dialogue import Text
from imug_tts.testing.infer_servers import Reply, infer_server, unused_url
from tests.backbones.infer_calls import asking, client


def test_seeds_are_declared_where_every_server_announces_them() -> None:
    with infer_server(health=b'{"seeds": true}') as one, infer_server(health=b'{"status": "ok"}') as other:
        assert client(one).capabilities.seeds == "best_effort"
        assert client(one, send_seed=False).capabilities.seeds == "none"
        assert client(one, other).capabilities.seeds == "none"
        assert client(one, unused_url()).capabilities.seeds == "none"


@pytest.mark.parametrize(
    ("health", "form", "p_yes"),
    [
        (b'{"seeds":true,"p_yes":true}', "yes_no", 0.25),
        (b'{"status":"ok"}', None, None),
        (b"fine", None, None),
    ],
)
def test_p_yes_is_asked_of_servers_that_announce_it_and_of_no_others(
    health: bytes, form: str | None, p_yes: float | None
) -> None:
    reply = Reply(body=b'{"response":{"text":"No.","p_yes":0.25}}')
    with infer_server(lambda asked: reply, health=health) as server:
        backbone = client(server)
        request = replace(asking("is it red?", "text"), form="yes_no")
        [[candidate]] = backbone.generate([request])
    assert (candidate.output, candidate.p_yes) == (Text("No."), p_yes)
    assert json.loads(server.last).get("form") == form
    assert backbone.capabilities.logits is (p_yes is not None)


@pytest.mark.parametrize("p_yes", ["2", "true", '"high"', "NaN"])
def test_p_yes_that_is_no_probability_is_a_failure(p_yes: str) -> None:
    reply = Reply(body=b'{"response":{"text":"No.","p_yes":%s}}' % p_yes.encode())
    with infer_server(lambda asked: reply, health=b'{"p_yes":true}') as server:
        request = replace(asking("is it red?", "text"), form="yes_no")
        with pytest.raises(BackboneError, match=r"p_yes.*a number from 0 to 1"):
            client(server, max_attempts=1).generate([request])
