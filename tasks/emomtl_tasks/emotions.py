"""The emotion taxonomies of GoEmotions: 28 emotions, folded into Ekman's six (with neutral: seven) and into four sentiments.

Names, order and groupings are those of Demszky et al. (2020), "GoEmotions: A Dataset of Fine-Grained Emotions". The
definitions are our own, one sentence each. The coordinates are the (valence, arousal, dominance) in 0..1 that the NRC-VAD
lexicon gives for the label's word: single values, cited from Mohammad (2018), "Obtaining Reliable Human Ratings of Valence,
Arousal, and Dominance for 20,000 English Words"; the lexicon itself may not be redistributed and is not here.
"""

from __future__ import annotations

from emomtl import Grouping, Label, Taxonomy

EMOTION_LABELS = (
    Label("admiration", "The writer looks up to someone or thinks highly of what they did or made.", (0.969, 0.583, 0.726)),
    Label("amusement", "The writer laughs or smiles at something and takes it lightly.", (0.929, 0.837, 0.803)),
    Label("anger", "The writer is hot with hostility because of a wrong, an insult or a threat.", (0.167, 0.865, 0.657)),
    Label("annoyance", "The writer is mildly irritated by something that bothers or gets in the way.", (0.167, 0.718, 0.342)),
    Label("approval", "The writer agrees with something or says that it is right, good or acceptable.", (0.854, 0.46, 0.889)),
    Label("caring", "The writer is concerned for someone and offers kindness, comfort or help.", (0.635, 0.469, 0.5)),
    Label("confusion", "The writer cannot make sense of something or does not know what is meant.", (0.255, 0.667, 0.277)),
    Label("curiosity", "The writer wants to know more and asks or wonders about it.", (0.75, 0.755, 0.463)),
    Label("desire", "The writer longs to have something or wishes for it to happen.", (0.896, 0.692, 0.647)),
    Label("disappointment", "The writer feels let down because something turned out worse than hoped.", (0.115, 0.49, 0.336)),
    Label("disapproval", "The writer objects to something or says that it should not be so.", (0.085, 0.551, 0.367)),
    Label("disgust", "The writer is repelled by something foul, gross or morally revolting.", (0.052, 0.775, 0.317)),
    Label(
        "embarrassment",
        "The writer feels awkward or ashamed at how they, or someone they feel with, appear to others.",
        (0.143, 0.685, 0.226),
    ),
    Label(
        "excitement",
        "The writer is thrilled and full of energy about something that is happening or about to.",
        (0.896, 0.684, 0.731),
    ),
    Label("fear", "The writer feels threatened and is afraid of harm or danger.", (0.073, 0.84, 0.293)),
    Label("gratitude", "The writer is thankful for a favour, a gift or a kind word.", (0.885, 0.441, 0.61)),
    Label("grief", "The writer mourns a deep loss, most of all a death.", (0.07, 0.64, 0.474)),
    Label("joy", "The writer is happy and delights in what is going on.", (0.98, 0.824, 0.794)),
    Label("love", "The writer feels warm and strong affection for a person, a thing or a pursuit.", (1.0, 0.519, 0.673)),
    Label("nervousness", "The writer is uneasy and on edge about something whose end is not yet known.", (0.163, 0.915, 0.241)),
    Label("optimism", "The writer expects, or hopes with confidence, that things will go well.", (0.949, 0.565, 0.814)),
    Label("pride", "The writer takes satisfaction in what they, or people close to them, have achieved.", (0.729, 0.634, 0.848)),
    Label(
        "realization",
        "The writer suddenly understands or notices something that they had missed before.",
        (0.554, 0.51, 0.836),
    ),
    Label("relief", "The writer is eased because a worry or a burden has gone.", (0.844, 0.278, 0.481)),
    Label("remorse", "The writer regrets a deed of their own and feels guilty or sorry for it.", (0.103, 0.673, 0.377)),
    Label("sadness", "The writer is unhappy, low or in sorrow.", (0.052, 0.288, 0.164)),
    Label("surprise", "The writer is struck by something that they did not expect, be it good or bad.", (0.875, 0.875, 0.562)),
    Label("neutral", "The writer states or asks something without any feeling that shows.", (0.469, 0.184, 0.357)),
)
"""The 28 labels in the order of the corpus's `emotions.txt`: a label's position is its number in the published files."""

EKMAN_GROUPS = {
    "anger": ("anger", "annoyance", "disapproval"),
    "disgust": ("disgust",),
    "fear": ("fear", "nervousness"),
    "joy": (
        "admiration",
        "amusement",
        "approval",
        "caring",
        "desire",
        "excitement",
        "gratitude",
        "joy",
        "love",
        "optimism",
        "pride",
        "relief",
    ),
    "sadness": ("disappointment", "embarrassment", "grief", "remorse", "sadness"),
    "surprise": ("confusion", "curiosity", "realization", "surprise"),
    "neutral": ("neutral",),
}
"""Ekman's emotions, each with its members among the 28 (`ekman_mapping.json` of the corpus, with neutral added)."""

EKMAN_SENTIMENTS = {
    "positive": ("joy",),
    "negative": ("anger", "disgust", "fear", "sadness"),
    "ambiguous": ("surprise",),
    "neutral": ("neutral",),
}
"""The sentiments, each with its members among Ekman's; joy and positive are one set, and so are surprise and ambiguous."""

SENTIMENT_GROUPS = {
    sentiment: tuple(emotion for parent in parents for emotion in EKMAN_GROUPS[parent])
    for sentiment, parents in EKMAN_SENTIMENTS.items()
}
"""The sentiments, each with its members among the 28 (`sentiment_dict.json` of the corpus, with neutral added)."""

_WORDS = {label.name: label.vad for label in EMOTION_LABELS}

EKMAN_LABELS = (
    Label("anger", "The writer is against something: angry, irritated or objecting.", _WORDS["anger"]),
    Label("disgust", "The writer finds something repulsive, to the senses or to the conscience.", _WORDS["disgust"]),
    Label("fear", "The writer feels danger or uncertainty ahead: afraid, worried or nervous.", _WORDS["fear"]),
    Label("joy", "The writer feels something pleasant, from calm approval and thanks to delight and love.", _WORDS["joy"]),
    Label("sadness", "The writer suffers from a loss, a failure or a fault: sad, let down, ashamed or sorry.", _WORDS["sadness"]),
    Label(
        "surprise",
        "The writer meets something unexpected or not yet understood: surprised, puzzled or curious.",
        _WORDS["surprise"],
    ),
    Label("neutral", "The writer shows no emotion.", _WORDS["neutral"]),
)
"""Ekman's six emotions and neutral."""

SENTIMENT_LABELS = (
    Label("positive", "The writer's feeling is a pleasant one."),
    Label("negative", "The writer's feeling is an unpleasant one."),
    Label("ambiguous", "The writer is stirred, but whether pleasantly or not depends on the occasion."),
    Label("neutral", "The writer is not stirred at all."),
)
"""The four sentiments."""

EMOTIONS = Taxonomy(EMOTION_LABELS, [Grouping("ekman", EKMAN_GROUPS), Grouping("sentiment", SENTIMENT_GROUPS)])
"""The original taxonomy: 27 emotions and neutral."""

EKMAN = Taxonomy(EKMAN_LABELS, [Grouping("sentiment", EKMAN_SENTIMENTS)])
"""Ekman's taxonomy: six emotions and neutral."""

SENTIMENT = Taxonomy(SENTIMENT_LABELS)
"""The sentiment taxonomy: positive, negative, ambiguous and neutral."""
