"""The pocket model's generation: pictures, plans, marks and answers, for many prompts in one batch.

A prompt is a list of token pieces; the pieces are the units of the prefix cache. Only tokens that the grammar
allows at a position can be sampled there: codes of the current cell, words of plans, letters that were
offered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imug_tts.backbones.pocket.decoder import Batch, Decoder, Rows
from imug_tts.backbones.pocket.vocabulary import ANSWER, DRAW, END, PLAN, Vocabulary

Prompt = Sequence[Sequence[int]]
MAX_PLAN_TOKENS = 120


@dataclass(frozen=True)
class Sampled:
    """A job: samples after one prompt, one per seed. A temperature of 0 is greedy."""

    prompt: Prompt
    seeds: tuple[int, ...] = (0,)
    temperature: float = 0.0


Write = Callable[[Rows, Sequence[Sampled]], list[list[int]]]


@dataclass(frozen=True)
class Options:
    """A job: a multiple-choice question with its prompt and the offered (value, letter) tokens.

    The value is sampled at the temperature unless it is given. The letter is the most likely one after the
    value.
    """

    prompt: Prompt
    offered: tuple[tuple[int, int], ...]
    seed: int = 0
    temperature: float = 0.0
    given_value: int | None = None


@dataclass(frozen=True)
class Answered:
    """The value token and the letter token of an answer."""

    value: int
    letter: int


def gumbel(seed: int, purpose: str, steps: int, width: int) -> Tensor:
    """The Gumbel noise of one row, (steps, width), from a counter-based stream named by seed and purpose."""
    digest = hashlib.sha256(f"{purpose}/{seed}".encode()).digest()
    stream = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
    return torch.from_numpy(-np.log(-np.log(stream.random((steps, width)).clip(1e-300))))


class _Noise:
    """Perturbs logits row by row, so that the arg max is a sample at the row's temperature."""

    def __init__(self, rows: Sequence[tuple[int, float]], purpose: str, steps: int, width: int) -> None:
        blank = torch.zeros(steps, width, dtype=torch.float64)
        self.noise = torch.stack([gumbel(s, purpose, steps, width) if t > 0 else blank for s, t in rows])
        self.temperatures = torch.tensor([t if t > 0 else 1.0 for _, t in rows], dtype=torch.float64)

    def pick(self, logits: Tensor, step: int) -> Tensor:
        """The sampled choice of each row."""
        return (logits.double() / self.temperatures[:, None] + self.noise[:, step]).argmax(-1)

    def keep(self, chosen: Tensor) -> None:
        """Drop all rows except these."""
        self.noise, self.temperatures = self.noise[chosen], self.temperatures[chosen]


class PocketGenerator:
    """Generates pictures, plans, marks and answers with one set of weights."""

    def __init__(self, decoder: Decoder, vocabulary: Vocabulary) -> None:
        self.decoder, self.vocabulary = decoder, vocabulary
        self._plan_ids = torch.tensor([END, *(vocabulary.id_of[word] for word in vocabulary.plan_words)])

    def draw(self, jobs: Sequence[Sampled]) -> list[list[list[int]]]:
        """The codes of one picture per seed of each job."""
        return self._sample(jobs, self.vocabulary.num_cells, self._draw_rows)

    def _sample(self, jobs: Sequence[Sampled], max_tokens: int, write: Write) -> list[list[list[int]]]:
        """The output of `write` for each seed of each job; rows of one job share its prefix."""
        spans = self.decoder.prefill([job.prompt for job in jobs])
        written: list[list[list[int]]] = [[] for _ in jobs]

        def work(batch: Batch) -> None:
            rows = Rows(self.decoder, [spans[n] for n in batch.groups], batch.forks, max_tokens)
            texts = write(rows, [jobs[n] for n in batch.groups])
            for at, number in enumerate(batch.groups):
                written[number] = texts[at * batch.forks : (at + 1) * batch.forks]

        self.decoder.each(work, self.decoder.batches(spans, [len(job.seeds) for job in jobs]))
        return written

    def _draw_rows(self, rows: Rows, jobs: Sequence[Sampled]) -> list[list[int]]:
        cells, codes = self.vocabulary.num_cells, self.vocabulary.num_codes
        noise = _Noise([(s, job.temperature) for job in jobs for s in job.seeds], "image", cells, codes)
        ids = torch.full((len(noise.temperatures),), DRAW)
        picked = torch.empty((len(ids), cells), dtype=torch.long)
        for cell in range(cells):
            first = self.vocabulary.first_id(cell)
            picked[:, cell] = noise.pick(rows.logits(ids, self.decoder.head[first : first + codes]), cell)
            ids = first + picked[:, cell]
        listed: list[list[int]] = picked.tolist()
        return listed

    def plan(self, jobs: Sequence[Sampled]) -> list[list[list[int]]]:
        """The tokens of one plan per seed of each job, without the end token; at most MAX_PLAN_TOKENS."""
        return self._sample(jobs, MAX_PLAN_TOKENS, self._plan_rows)

    def _plan_rows(self, rows: Rows, jobs: Sequence[Sampled]) -> list[list[int]]:
        head = self.decoder.head[self._plan_ids]
        seeds = [(seed, job.temperature) for job in jobs for seed in job.seeds]
        noise = _Noise(seeds, "plan", MAX_PLAN_TOKENS, len(head))
        plans: list[list[int]] = [[] for _ in seeds]
        of_row = torch.arange(len(seeds))
        ids = torch.full((len(seeds),), PLAN)
        for step in range(MAX_PLAN_TOKENS):
            ids = self._plan_ids[noise.pick(rows.logits(ids, head), step)]
            for plan, token in zip((plans[row] for row in of_row.tolist()), ids.tolist(), strict=True):
                if not plan or plan[-1] != END:
                    plan.append(token)
            is_open = torch.tensor([plans[row][-1] != END for row in of_row.tolist()])
            groups = is_open.view(-1, rows.forks).any(-1).nonzero()[:, 0]
            if not len(groups):
                break
            if len(groups) <= 0.7 * len(is_open) / rows.forks:
                chosen = rows.keep(groups)
                noise.keep(chosen)
                ids, of_row = ids[chosen], of_row[chosen]
        return [plan[:-1] if plan[-1] == END else plan for plan in plans]

    def mark(self, prompts: Sequence[Prompt], checks: Sequence[Sequence[int]]) -> list[list[float]]:
        """P(yes) of every cell of each check's picture."""
        spans = self.decoder.prefill(prompts)
        hidden = self.decoder.last_hidden(spans, checks, self.vocabulary.num_cells)
        yes, no = (self.decoder.head[self.vocabulary.id_of[word]] for word in ("yes", "no"))
        shares: list[list[float]] = torch.sigmoid((hidden @ (yes - no)).double()).tolist()
        return shares

    def answer(self, jobs: Sequence[Options]) -> list[Answered]:
        """The value and letter of each question."""
        spans = self.decoder.prefill([job.prompt for job in jobs])
        answers: dict[int, Answered] = {}

        def work(batch: Batch) -> None:
            chosen = [jobs[i] for i in batch.groups]
            rows = Rows(self.decoder, [spans[i] for i in batch.groups], 1, 2)
            values = self._pick(
                rows, [ANSWER] * len(chosen), [[v for v, _ in job.offered] for job in chosen], chosen
            )
            said = [
                v if job.given_value is None else job.given_value
                for v, job in zip(values, chosen, strict=True)
            ]
            letters = self._pick(rows, said, [[letter for _, letter in job.offered] for job in chosen], None)
            for number, value, letter in zip(batch.groups, said, letters, strict=True):
                answers[number] = Answered(value, letter)

        self.decoder.each(work, self.decoder.batches(spans, [1] * len(jobs)))
        return [answers[number] for number in range(len(jobs))]

    def _pick(
        self,
        rows: Rows,
        ids: Sequence[int],
        allowed: Sequence[Sequence[int]],
        sampled: Sequence[Options] | None,
    ) -> list[int]:
        """One of the allowed tokens per row: sampled as the jobs specify, or the most likely one."""
        logits = rows.logits(torch.tensor(ids), self.decoder.head[: self.vocabulary.num_words])
        named = [(job.seed, job.temperature) for job in sampled] if sampled else [(0, 0.0)] * len(ids)
        noise = _Noise(named, "answer", 1, self.vocabulary.num_words)
        hidden = torch.ones_like(logits, dtype=torch.bool)
        for row, offer in enumerate(allowed):
            hidden[row, list(offer)] = False
        picked: list[int] = noise.pick(logits.masked_fill(hidden, float("-inf")), 0).tolist()
        return picked
