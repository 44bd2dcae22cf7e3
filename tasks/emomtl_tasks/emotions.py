"""The emotion taxonomies of GoEmotions: 28 emotions, Ekman's six with neutral, four sentiments.

Names, order and groupings are those of Demszky et al. (2020), "GoEmotions: A Dataset of
Fine-Grained Emotions". The definitions are our own, one sentence each. The coordinates are the
(valence, arousal, dominance) in 0..1 that the NRC-VAD lexicon gives for the label's word: single
values, cited from Mohammad (2018), "Obtaining Reliable Human Ratings of Valence, Arousal, and
Dominance for 20,000 English Words"; the lexicon itself may not be redistributed and is not here.
"""

from __future__ import annotations

from emomtl import Grouping, Label, Taxonomy

DEFINITIONS = {
    "admiration": "The writer looks up to someone or thinks highly of what they did or made.",
    "amusement": "The writer laughs or smiles at something and takes it lightly.",
    "anger": "The writer is hot with hostility because of a wrong, an insult or a threat.",
    "annoyance": "The writer is mildly irritated by something that bothers or gets in the way.",
    "approval": "The writer agrees with something or says that it is right, good or acceptable.",
    "caring": "The writer is concerned for someone and offers kindness, comfort or help.",
    "confusion": "The writer cannot make sense of something or does not know what is meant.",
    "curiosity": "The writer wants to know more and asks or wonders about it.",
    "desire": "The writer longs to have something or wishes for it to happen.",
    "disappointment": "The writer feels let down because something turned out worse than hoped.",
    "disapproval": "The writer objects to something or says that it should not be so.",
    "disgust": "The writer is repelled by something foul, gross or morally revolting.",
    "embarrassment": (
        "The writer feels awkward or ashamed at how they, or someone they feel with, appear to "
        "others."
    ),
    "excitement": (
        "The writer is thrilled and full of energy about something that is happening or about to."
    ),
    "fear": "The writer feels threatened and is afraid of harm or danger.",
    "gratitude": "The writer is thankful for a favour, a gift or a kind word.",
    "grief": "The writer mourns a deep loss, most of all a death.",
    "joy": "The writer is happy and delights in what is going on.",
    "love": "The writer feels warm and strong affection for a person, a thing or a pursuit.",
    "nervousness": "The writer is uneasy and on edge about something whose end is not yet known.",
    "optimism": "The writer expects, or hopes with confidence, that things will go well.",
    "pride": "The writer takes satisfaction in what they, or people close to them, have achieved.",
    "realization": (
        "The writer suddenly understands or notices something that they had missed before."
    ),
    "relief": "The writer is eased because a worry or a burden has gone.",
    "remorse": "The writer regrets a deed of their own and feels guilty or sorry for it.",
    "sadness": "The writer is unhappy, low or in sorrow.",
    "surprise": "The writer is struck by something that they did not expect, be it good or bad.",
    "neutral": "The writer states or asks something without any feeling that shows.",
}
"""The 28 labels, each with its definition, in the order of the corpus's `emotions.txt`.

A label's position is its number in the published files.
"""

# fmt: off
VAD = {
    "admiration": (0.969, 0.583, 0.726), "amusement": (0.929, 0.837, 0.803),
    "anger": (0.167, 0.865, 0.657), "annoyance": (0.167, 0.718, 0.342),
    "approval": (0.854, 0.46, 0.889), "caring": (0.635, 0.469, 0.5),
    "confusion": (0.255, 0.667, 0.277), "curiosity": (0.75, 0.755, 0.463),
    "desire": (0.896, 0.692, 0.647), "disappointment": (0.115, 0.49, 0.336),
    "disapproval": (0.085, 0.551, 0.367), "disgust": (0.052, 0.775, 0.317),
    "embarrassment": (0.143, 0.685, 0.226), "excitement": (0.896, 0.684, 0.731),
    "fear": (0.073, 0.84, 0.293), "gratitude": (0.885, 0.441, 0.61), "grief": (0.07, 0.64, 0.474),
    "joy": (0.98, 0.824, 0.794), "love": (1.0, 0.519, 0.673), "nervousness": (0.163, 0.915, 0.241),
    "optimism": (0.949, 0.565, 0.814), "pride": (0.729, 0.634, 0.848),
    "realization": (0.554, 0.51, 0.836), "relief": (0.844, 0.278, 0.481),
    "remorse": (0.103, 0.673, 0.377), "sadness": (0.052, 0.288, 0.164),
    "surprise": (0.875, 0.875, 0.562), "neutral": (0.469, 0.184, 0.357),
}
# fmt: on
"""The (valence, arousal, dominance) of the 28 words, each in 0..1."""

EMOTION_LABELS = tuple(Label(name, meaning, VAD[name]) for name, meaning in DEFINITIONS.items())

# fmt: off
EKMAN_GROUPS = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": (
        "admiration", "amusement", "approval", "caring", "desire", "excitement", "gratitude",
        "joy", "love", "optimism", "pride", "relief",
    ),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse", "sadness"),
    "surprise": ("confusion", "curiosity", "realization", "surprise"),
    "neutral": ("neutral",),
}
# fmt: on
"""Ekman's emotions, each with its members among the 28 (`ekman_mapping.json` of the corpus, with
neutral added).
"""

EKMAN_SENTIMENTS = {
    "positive": ("joy",),
    "negative": ("anger", "disgust", "fear", "sadness"),
    "ambiguous": ("surprise",),
    "neutral": ("neutral",),
}
"""The sentiments, each with its members among Ekman's; joy and positive are one set, and so are
surprise and ambiguous.
"""

SENTIMENT_GROUPS = {
    sentiment: tuple(emotion for parent in parents for emotion in EKMAN_GROUPS[parent])
    for sentiment, parents in EKMAN_SENTIMENTS.items()
}
"""The sentiments, each with its members among the 28 (`sentiment_dict.json` of the corpus, with
neutral added).
"""

EKMAN_DEFINITIONS = {
    "anger": "The writer is against something: angry, irritated or objecting.",
    "disgust": "The writer finds something repulsive, to the senses or to the conscience.",
    "fear": "The writer feels danger or uncertainty ahead: afraid, worried or nervous.",
    "joy": (
        "The writer feels something pleasant, from calm approval and thanks to delight and love."
    ),
    "sadness": (
        "The writer suffers from a loss, a failure or a fault: sad, let down, ashamed or sorry."
    ),
    "surprise": (
        "The writer meets something unexpected or not yet understood: surprised, puzzled or "
        "curious."
    ),
    "neutral": "The writer shows no emotion.",
}
"""Ekman's six emotions and neutral; their words are among the 28."""

EKMAN_LABELS = tuple(Label(name, meaning, VAD[name]) for name, meaning in EKMAN_DEFINITIONS.items())

SENTIMENT_LABELS = (
    Label("positive", "The writer's feeling is a pleasant one."),
    Label("negative", "The writer's feeling is an unpleasant one."),
    Label(
        "ambiguous", "The writer is stirred, but whether pleasantly or not depends on the occasion."
    ),
    Label("neutral", "The writer is not stirred at all."),
)
"""The four sentiments."""

EMOTIONS = Taxonomy(
    EMOTION_LABELS, [Grouping("ekman", EKMAN_GROUPS), Grouping("sentiment", SENTIMENT_GROUPS)]
)
"""The original taxonomy: 27 emotions and neutral."""

EKMAN = Taxonomy(EKMAN_LABELS, [Grouping("sentiment", EKMAN_SENTIMENTS)])
"""Ekman's taxonomy: six emotions and neutral."""

SENTIMENT = Taxonomy(SENTIMENT_LABELS)
"""The sentiment taxonomy: positive, negative, ambiguous and neutral."""
