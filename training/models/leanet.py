"""LEA-Net: a classifier of good and bad parts whose features are guided by a map of wrong colours.

Hayakawa et al., "Layer-wise External Attention for Efficient Deep Anomaly Detection" (IMPROVE 2022). The colorizer,
trained on good parts alone, gives the map; the Color Anomaly Attention Network (CAAN) turns it into attention; the
Anomaly Detection Network (ADN) takes that in between its layers and decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgead.errors import TrainingError
from edgead.training.backbones import state_digest
from edgead.training.leanet.adn import NETWORKS, AnomalyDetectionNetwork
from edgead.training.leanet.caan import CAANS, Caan, build_caan
from edgead.training.leanet.points import POINTS
from edgead.training.leanet.self_attention import MODULES
from edgead.training.models.base import Answer, DefectLearner, DetectorModule, Foundation
from edgead.training.models.colorizer import Colorizer, ColorizerOptions, UNetOptions
from edgead.training.models.lamp import as_float
from edgead.training.options import FitOptions

_HALVED = 2 ** len(POINTS)  # how much smaller the features of the last point are
_CHANNELS = {"map": 1, "four-channels": 4}  # of the ADN's input; three elsewhere
_OF_UNET = ("unet_width", "unet_blocks", "color_loss", "augmentation")
_SHARED = ("seed", "threads", "accelerator", "devices", "strategy", "num_nodes", "precision", "validation")
EXTERNAL = ("none", "map", "four-channels", "attentioned", "direct", *CAANS)
"""How the colour map reaches the classifier, the settings of section 4.1.2: not at all; in place of the image; as its
fourth channel; as attention on the image (Eq. 3); as attention between the layers, as it is; or through a CAAN."""


@dataclass(frozen=True)
class LeaNetOptions(UNetOptions):
    """Hyper-parameters of LEA-Net, and those of the colorizer under it."""

    network: str = field(default="resnet18", metadata={"help": "the classifier (ADN)", "choices": tuple(NETWORKS)})
    external: str = field(
        default="mobilenet",
        metadata={
            "help": "how the colour map guides the classifier: as attention between its layers, through a network "
            "(mobilenet, resnet) or direct; as attention on the image; as a fourth channel; as the only input; or not "
            "at all",
            "choices": EXTERNAL,
        },
    )
    points: str = field(
        default="4",
        metadata={
            "help": "behind which of the classifier's five stages attention enters, comma-separated; the paper "
            "advises one"
        },
    )
    self_attention: str = field(
        default="none",
        metadata={"help": "self-attention inside the classifier", "choices": tuple(MODULES)},
    )
    map_limit: float = field(
        default=50.0, metadata={"help": "the colour difference (CIEDE2000) that counts as 1; larger ones do as well"}
    )
    learned_gate: bool = field(
        default=False,
        metadata={"help": "weigh the attention by a learned scalar that begins at 0, as the authors' code"},
    )
    relu_only: bool = field(
        default=False, metadata={"help": "ReLU in the whole mobilenet attention network, as in the authors' code"}
    )
    color_epochs: int = field(default=500, metadata={"help": "epochs at most of the colorizer"})
    color_learning_rate: float = field(default=1e-4, metadata={"help": "learning rate of the colorizer"})
    color_patience: int = field(
        default=20, metadata={"help": "stop the colorizer after this many epochs without a better validation loss"}
    )

    @property
    def needs_map(self) -> bool:
        """Whether the classifier looks at the colour map at all."""
        return self.external != "none"

    @property
    def attends(self) -> tuple[int, ...]:
        """The points where attention enters; empty in a setting without."""
        if self.external not in ("direct", *CAANS):
            return ()
        return tuple(int(point) for point in self.points.split(","))

    def colorizer(self) -> ColorizerOptions:
        """Those of the colorizer; its own map is not smoothed, as it is looked at by a network."""
        return ColorizerOptions(**{name: getattr(self, name) for name in ("height", "width", *_OF_UNET)})

    def foundation(self, fit: FitOptions) -> Foundation | None:
        if not self.needs_map:
            return None
        own = {
            "epochs": self.color_epochs,
            "patience": self.color_patience,
            "learning_rate": self.color_learning_rate,
            **{name: getattr(fit, name) for name in _SHARED},
        }
        return Foundation(Colorizer.family, self.colorizer().to_json(), FitOptions(**{**Colorizer.fit_defaults, **own}))

    def check(self) -> None:
        super().check()
        points = self.points.replace(" ", "").split(",")
        known = [str(point) for point in POINTS]
        faults = {
            f"{self.height} x {self.width} pixels are no multiples of {_HALVED}": self.height % _HALVED != 0
            or self.width % _HALVED != 0,
            f"network {self.network!r} is none of {', '.join(NETWORKS)}": self.network not in NETWORKS,
            f"external {self.external!r} is none of {', '.join(EXTERNAL)}": self.external not in EXTERNAL,
            f"self-attention {self.self_attention!r} is none of {', '.join(MODULES)}": self.self_attention
            not in MODULES,
            f"points {self.points!r} are not some of {', '.join(known)}": not set(points) <= set(known)
            or len(set(points)) < len(points),
            f"a map limit of {self.map_limit}": not self.map_limit > 0,
            f"a learning rate of {self.color_learning_rate}": not self.color_learning_rate > 0,
            "the colorizer needs epochs": min(self.color_epochs, self.color_patience) < 1,
        }
        for fault, present in faults.items():
            if present:
                raise TrainingError(fault, "leanet", "change the option")


class Look(NamedTuple):
    """What attention does at a point of the classifier (Figure 5): the features before and after it, the mean over
    their channels, and the attention between them, each float [N, h, w]."""

    point: int
    before: Tensor
    attention: Tensor
    after: Tensor


class LeaNet(DefectLearner):
    """LEA-Net: a classifier of good and bad parts, guided by a map of colours that good parts do not have.

    image -> colorizer -> CIEDE2000 map -> CAAN -> attention -> ADN between its layers -> probability of a bad part.
    The map of the answer is the CIEDE2000 map; the score is the probability.
    """

    family = "leanet"
    Options: ClassVar[type[LeaNetOptions]] = LeaNetOptions
    options: LeaNetOptions
    fit_defaults: ClassVar[dict[str, Any]] = {"epochs": 100, "batch_size": 16}
    frozen_features: ClassVar[bool] = True
    classifies: ClassVar[bool] = True
    founded_on: ClassVar[str] = Colorizer.family
    threshold: ClassVar[str] = "probability"
    grid = (1, 1)

    def __init__(self, options: LeaNetOptions) -> None:
        options.check()
        super().__init__(options)
        self.colorizer: Colorizer | None = None
        if options.needs_map:
            self.build_on(Colorizer(options.colorizer()))
        self.adn = AnomalyDetectionNetwork(
            options.network,
            inputs=_CHANNELS.get(options.external, 3),
            height=options.height,
            width=options.width,
            self_attention=options.self_attention,
        )
        self.caan: Caan | None = (
            build_caan(options.external, relu_only=options.relu_only) if options.external in CAANS else None
        )
        self.gates = nn.ParameterDict()
        if options.learned_gate:
            self.gates.update({str(point): nn.Parameter(torch.zeros(())) for point in options.attends})

    @property
    def outputs(self) -> tuple[str, ...]:
        return (*super().outputs, "attention_map") if self.options.attends else super().outputs

    @property
    def learning_rate(self) -> float | None:
        """The paper's; VGG has no batch norm, and wants a smaller one."""
        return 1e-5 if self.options.network.startswith("vgg") else 1e-3

    def build_on(self, foundation: DetectorModule) -> None:
        wanted = self.options.colorizer()
        if not isinstance(foundation, Colorizer):
            raise TrainingError(
                f"a {foundation.family} is no colorizer", "leanet", "give a run of `edgead train colorizer`"
            )
        found = foundation.options
        if (found.height, found.width) != (wanted.height, wanted.width):
            size, own = f"{found.height} x {found.width}", f"{wanted.height} x {wanted.width}"
            raise TrainingError(
                f"the colorizer is for {size} pixels, not {own}", "leanet", "train one of the same size"
            )
        # Its U-Net is the one that this model has from now on, whatever was asked for.
        self.options = replace(self.options, **{name: getattr(found, name) for name in _OF_UNET})
        self.colorizer = foundation.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> LeaNet:
        super().train(mode)
        if self.colorizer is not None:
            self.colorizer.eval()
        return self

    def extract(self, image: Tensor) -> Tensor:
        """RGB in 0..1 and, unless the classifier does without, the CIEDE2000 map: float [N, 3 or 4, H, W]."""
        pixels = as_float(image)
        return pixels if self.colorizer is None else torch.cat([pixels, self.colorizer.difference(pixels)], dim=1)

    def features_key(self) -> str:
        if self.colorizer is None:
            return "rgb"
        return f"colour-map:{self.options.height}x{self.options.width}:{state_digest(self.colorizer)}"

    def answer(self, inputs: Tensor) -> Answer:
        logits, _, attention = self.classify(inputs)
        score = logits.float().sigmoid()
        if self.colorizer is None:  # nothing says where
            return Answer(score[:, None, None].expand(-1, self.options.height, self.options.width), score)
        return Answer(inputs[:, 3], score, self._shown(attention) if attention else None)

    def classify(self, inputs: Tensor) -> tuple[Tensor, Tensor | None, dict[int, Tensor]]:
        """What `extract` gave -> the logits f [N] of the ADN, those of the CAAN [N, 2] where there is one, and the
        attention M_p [N, 1, H_p, W_p] by point."""
        pixels, external = inputs[:, :3], self.options.external
        if external == "none":
            return self.adn(pixels), None, {}
        # Divided before it is cut, so that the attention network reads what has bounds: INT8 needs no range for it.
        color_map = (inputs[:, 3:] / self.options.map_limit).clamp(0, 1)
        if external == "map":
            return self.adn(color_map), None, {}
        if external == "four-channels":
            return self.adn(torch.cat([pixels, color_map], dim=1)), None, {}
        if external == "attentioned":
            return self.adn(pixels * (1 + color_map)), None, {}
        if self.caan is None:
            attention = {point: F.avg_pool2d(color_map, 2**point) for point in self.options.attends}
            opinion = None
        else:
            features, opinion = self.caan(color_map)
            attention = {point: attention_of(features[point - 1]) for point in self.options.attends}
        attention = {p: m * self.gates[str(p)] if str(p) in self.gates else m for p, m in attention.items()}
        return self.adn(pixels, attention), opinion, attention

    def looks(self, image: Tensor) -> list[Look]:
        """uint8 [N, H, W, 3] RGB -> what attention does at each of its points, shallow to deep; empty in a setting
        without."""
        if not self.options.attends:
            return []
        inputs = self.extract(image)
        _, _, attention = self.classify(inputs)
        features = self.adn.before_and_after(inputs[:, :3], attention)
        means = {point: [each.mean(dim=1) for each in features[point - 1]] for point in sorted(attention)}
        return [Look(point, before, attention[point][:, 0], after) for point, (before, after) in means.items()]

    def _shown(self, attention: dict[int, Tensor]) -> Tensor:
        """The attention at the size of the image, [N, H, W]: the mean over the points."""
        size = (self.options.height, self.options.width)
        maps = [F.interpolate(each, size, mode="bilinear", align_corners=False) for each in attention.values()]
        return torch.cat(maps, dim=1).mean(dim=1)

    def training_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """Eq. 1: BCE(g(x_att), y) + BCE(f(x), y), the first where there is a CAAN; its two units stand for good and
        bad."""
        bad = labels[0]
        logits, opinion, _ = self.classify(inputs)
        loss = F.binary_cross_entropy_with_logits(logits.float(), bad)
        if opinion is not None:
            loss = loss + F.binary_cross_entropy_with_logits(opinion.float(), torch.stack([1 - bad, bad], dim=1))
        return loss

    def validation_loss(self, inputs: Tensor, *labels: Tensor) -> Tensor:
        """BCE(f(x), y): the classifier's alone, which is what decides."""
        return F.binary_cross_entropy_with_logits(self.classify(inputs)[0].float(), labels[0])


def attention_of(features: Tensor) -> Tensor:
    """Eq. 2, M_p = sigmoid(phi(g_p)), phi the mean over the channels: float [N, C, h, w] -> [N, 1, h, w]."""
    return features.mean(dim=1, keepdim=True).sigmoid()
