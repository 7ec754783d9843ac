"""The words above the findings of a report."""

from __future__ import annotations

from analysis.report.findings import legend, sentences

GAP = "Tier A: Replacing own history by gold raises scores by 7.8 points [6.5, 9.1]."


def test_the_legend_explains_each_tier_once_and_the_terms_in_use() -> None:
    numbers = {"tiers": {"direct": "A", "cot": "A"}, "sentences": {"direct": GAP, "cot": GAP}}
    words = legend(numbers)
    assert (
        words.count("<dt>Tier A</dt><dd>own history against replayed gold history, on the same turns</dd>")
        == 1
    )
    assert words.index("Own history<") < words.index("Gold history<") < words.index("In brackets<")
    assert "MDE" not in words
    assert "Logit" not in words
    decay = "Tier D: No decay over turns is shown (0.1 points [-1.0, 1.2] per turn; the MDE was 1.6 points)."
    other = legend({"tiers": {"direct": "D"}, "sentences": {"direct": decay}})
    assert "<dt>Tier D</dt><dd>own history only" in other
    assert "<dt>MDE</dt><dd>the smallest effect" in other
    assert "Gold history" not in other


def test_the_legend_says_what_the_gap_is_on_imug() -> None:
    numbers = {"tiers": {"direct": "A"}, "sentences": {"direct": GAP}}
    assert "closer to lost skill" in legend(numbers | {"benchmark": "imug:1:0123abcd"})
    assert "closer to lost skill" not in legend(numbers | {"benchmark": "pocket_world:1"})


def test_without_findings_there_is_no_legend() -> None:
    assert legend({"benchmark": "imug"}) == ""


def test_each_statement_is_a_paragraph_of_its_strategy() -> None:
    finding = {"statements": ["The gap is <b>.", "The rest is damage."]}
    numbers = {
        "sentences": {"direct": GAP},
        "arms": [{"strategy": "direct", "finding": finding}],
        "tiers": {"direct": "A"},
    }
    assert "<strong>direct</strong><small>Tier A</small>" in sentences(numbers)
    assert sentences(numbers).count("<p>") == 2
    assert "<p>The gap is &lt;b&gt;.</p>" in sentences(numbers)
    assert "<p>Tier A: Replacing own history" in sentences({"sentences": {"direct": GAP}})
