"""Serve a backbone and a strategy over the official /infer protocol.

    python experiments/serve.py backbone=pocket strategy=self_verify port=8000

The official client works unchanged, and so does backbone=imug_server. Requests of all clients are batched
together. Seeds are derived from the history, so the same request gets the same answer. The client's
temperature applies to text answers, as on official servers; images use the strategy's.

SIGINT or SIGTERM: new requests get status 503, requests in progress are finished, and the exit status is 0.
Exit status 2: the configuration is invalid, or a model does not fit into memory.
"""

from __future__ import annotations

import sys

from experiments.command import compose, guarded
from imug_tts import assemble
from imug_tts.contracts import ConfigurationError


def main() -> int:
    return guarded(_main)


def _main() -> int:
    from imug_tts.serving import ServiceSettings

    config = compose("serve", __doc__ or "", sys.argv[1:], ServiceSettings)
    if config is None:
        return 0
    try:
        from imug_tts.serving.app import serve
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is missing; run: pip install 'imug_tts[serve]'") from error
    from imug_tts.composition import label
    from imug_tts.runs import check_models

    service = assemble.build_service(config)
    check_models(service.served.all_models.items())

    def ready(url: str) -> None:
        print(f"{label(service.served.strategy)} of {config['backbone']['name']}: {url}/infer", flush=True)

    serve(service, ready)
    return 0


if __name__ == "__main__":
    sys.exit(main())
