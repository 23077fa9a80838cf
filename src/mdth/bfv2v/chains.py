"""The chains of operations on single numbers between two convolutions, each as one kernel.

They see and give tensors [B,C,...] whose channels lie last in memory, as the convolutions want
them; inside they count [B,...,C], so that what is compiled reads and writes neighbours. The biases
of the convolutions before them come with them.
"""

import torch
from torch import Tensor, rsqrt, sigmoid
from torch.nn import functional

from mdth.bfv2v.fused import Fused
from mdth.bfv2v.motion import VARIANCE
from mdth.bfv2v.spade import SLOPE

EPSILON = 1e-5
TAPS = 7
"""Of the mask's and the occlusion map's kernels, along each axis."""


@Fused
def rectified(x: Tensor, bias: Tensor) -> Tensor:
    """ReLU, in x's type; x may be some channels of a larger tensor."""
    return first(functional.relu(last(x).float() + bias).to(x.dtype).contiguous())


@Fused
def shown(phases: Tensor, bias: Tensor, times: int, begin: int) -> Tensor:
    """ReLU of a convolution of a picture shown `times` x `times` times, in phases' type.

    phases: [B,P,...,h+1,w+1], see `fold.Shown`; P holds len(bias) channels from `begin` on in each
    phase. Gives [B,len(bias),...,times h,times w].
    """
    return first(functional.relu(_placed(phases, times, begin, len(bias)) + bias).to(phases.dtype))


@Fused
def shown_beside(phases: Tensor, bias: Tensor, times: int, skipped: Tensor) -> Tensor:
    """As `shown`, all channels, with the channels of `skipped` after them."""
    placed = functional.relu(_placed(phases, times, 0, len(bias)) + bias).to(phases.dtype)
    return first(torch.cat([placed, last(skipped)], -1))


def _placed(phases: Tensor, times: int, begin: int, count: int) -> Tensor:
    height, width = (times * (size - 1) for size in phases.shape[-2:])
    kinds = min(times, 3)
    y, row = _phase(torch.arange(height, device=phases.device), times)
    x, column = _phase(torch.arange(width, device=phases.device), times)
    split = last(phases).unflatten(-1, (kinds * kinds, -1))  # type: ignore[no-untyped-call]
    placed: Tensor = split[..., y[:, None], x, kinds * row[:, None] + column, begin : begin + count]
    return placed.float()


def _phase(places: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """Where the phase of each place lies, and which it is: before, (within,) after."""
    inside = places % times
    after = (inside == times - 1).long()
    kind = (inside > 0).long() + after if times > 2 else after
    return places // times + after, kind


@Fused
def statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and one over the deviation of each channel of each picture [B,C,h,w]: [B,C], float32."""
    wide = last(x).float()
    # Around its first row's mean: squares of the picture itself would lose what varies.
    middle = wide[:, :1].mean(2, keepdim=True)
    away = wide - middle
    mean, square = away.mean((1, 2)), away.square().mean((1, 2))
    variance = (square - mean.square()).clamp_min(0)
    return mean + middle[:, 0, 0], rsqrt(variance + EPSILON)


@Fused
def scaled(
    x: Tensor, mean: Tensor, deviation: Tensor, scale: Tensor, bias: Tensor, times: int
) -> Tensor:
    """Normalised, shown `times` x `times` times and scaled place by place; in x's type.

    scale: [B,C,times h,times w] without its bias.
    """
    return first((_even(x, mean, deviation, times) * (last(scale).float() + bias)).to(x.dtype))


@Fused
def modulated(
    x: Tensor, mean: Tensor, deviation: Tensor, both: Tensor, bias: Tensor, times: int
) -> Tensor:
    """As `scaled`, then shifted place by place, then leaky.

    both: [B,2C,times h,times w], scales and shifts. bias: of `both`.
    """
    count = x.shape[1]
    scale = last(both)[..., :count].float() + bias[:count]
    shift = last(both)[..., count:].float() + bias[count:]
    moved = _even(x, mean, deviation, times) * scale + shift
    return first(functional.leaky_relu(moved, SLOPE).to(x.dtype))


def _even(x: Tensor, mean: Tensor, deviation: Tensor, times: int) -> Tensor:
    even = (last(x).float() - mean[:, None, None]) * deviation[:, None, None]
    if times == 1:
        return even
    rows, columns = (torch.arange(times * size, device=x.device) // times for size in x.shape[2:])
    return even[:, rows[:, None], columns]


@Fused
def added(beside: Tensor, inner: Tensor, bias: Tensor) -> Tensor:
    """A residual block's two ways, in their type."""
    return first((last(beside).float() + last(inner).float() + bias).to(inner.dtype))


@Fused
def added_with_shift(beside: Tensor, shift: Tensor, inner: Tensor, bias: Tensor) -> Tensor:
    """As `added`, with a shift for each place. bias: of all three."""
    total = last(beside).float() + last(shift).float() + last(inner).float()
    return first((total + bias).to(inner.dtype))


@Fused
def leaky(x: Tensor, bias: Tensor, slope: float) -> Tensor:
    """Leaky ReLU, float32."""
    return first(functional.leaky_relu(last(x).float() + bias, slope))


@Fused
def dimmed(x: Tensor, bias: Tensor, light: Tensor) -> Tensor:
    """[B,C,h,w] times light [B,1,h,w], float32."""
    return first((last(x) + bias) * last(light))


@Fused
def picture(x: Tensor, bias: Tensor) -> Tensor:
    """[B,3 and more,H,W] -> [B,3,H,W] in 0..1, float32."""
    return first(sigmoid(last(x)[..., : len(bias)].float() + bias))


@Fused
def pooled(x: Tensor, bias: Tensor) -> Tensor:
    """ReLU and the mean over 2x2 of each plane, [B,C,D,H,W] -> [B,C,D,H/2,W/2]."""
    return first(_halved(functional.relu(last(x).float() + bias)).to(x.dtype))


@Fused
def pooled_planes(partial: Tensor, bias: Tensor, batch: int) -> Tensor:
    """As `pooled`, of a convolution whose three depths are outputs: [B D,3 C,H,W]."""
    total = _over_depth(partial, 3, len(bias), batch) + bias
    return first(_halved(functional.relu(total)).to(partial.dtype))


def _halved(x: Tensor) -> Tensor:
    """The mean over 2x2 of each plane, [B,D,H,W,C] -> [B,D,H/2,W/2,C]."""
    rows = x[:, :, ::2] + x[:, :, 1::2]
    return (rows[..., ::2, :] + rows[..., 1::2, :]) / 4


@Fused
def rectified_planes(partial: Tensor, bias: Tensor, batch: int) -> Tensor:
    """As `rectified`, of a convolution whose three depths are outputs: [B D,3 C,H,W]."""
    total = _over_depth(partial, 3, len(bias), batch) + bias
    return first(functional.relu(total).to(partial.dtype))


@Fused
def over_rows(partial: Tensor, count: int) -> Tensor:
    """A convolution's sum over its seven rows, where these are outputs.

    partial: [N,7 count and more,H,W], a row's outputs together. Gives [N,count,H,W], float32.
    """
    rows = last(partial)[..., : TAPS * count].unflatten(-1, (TAPS, count)).float()  # type: ignore[no-untyped-call]
    rim, height = TAPS // 2, rows.shape[1]
    around = functional.pad(rows, (0,) * 6 + (rim, rim))
    return first(_total([around[:, tap : tap + height, :, tap] for tap in range(TAPS)]))


@Fused
def mixed(partial: Tensor, bias: Tensor, shift: Tensor) -> Tensor:
    """Where each place of the volume comes from, beside itself: [B,D,H,W,3], float32.

    partial: [B D,7 (K+1),H,W], what each plane gives the seven around it. shift: [B,K,3], mixed by
    the softmax of their sums; bias: [K+1], whose first share is that of no shift.
    """
    total = _over_depth(partial, TAPS, len(bias), len(shift)) + bias
    shares = functional.softmax(total, -1)[..., 1:]
    return torch.stack(
        [(shares * shift[:, None, None, None, :, axis]).sum(-1) for axis in range(3)], -1
    )


def _over_depth(partial: Tensor, taps: int, count: int, batch: int) -> Tensor:
    """[B D,taps C,H,W] -> [B,D,H,W,C]: a convolution's sum over the planes it sees."""
    planes = last(partial).reshape(batch, -1, *partial.shape[2:], taps, count).float()
    rim, depth = taps // 2, planes.shape[1]
    around = functional.pad(planes, (0,) * 8 + (rim, rim))
    return _total([around[:, tap : tap + depth, :, :, tap] for tap in range(taps)])


def _total(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


@Fused
def entries(keypoints: Tensor, heat: Tensor, moved: Tensor, still: Tensor, like: Tensor) -> Tensor:
    """The hourglass's input [B,entries,D,H,W] in the place and type of its weight `like`.

    Of keypoints [B,K,3] the warmth beside the source's heat [1,K,D,H,W]; moved [B,any,D,H,W];
    still [1,any,D,H,W]; zeros up to the weight's inputs.
    """
    warm = _warmth(keypoints, heat.shape[2:]) - heat
    size = (len(moved), -1, -1, -1, -1)
    parts = [warm, moved, still.expand(size)]
    more = like.shape[1] - sum(part.shape[1] for part in parts)
    if more:
        parts.append(warm.new_zeros(1, more, 1, 1, 1).expand(len(moved), -1, *heat.shape[2:]))
    return first(last(torch.cat(parts, 1)).to(like.dtype).contiguous())


def _warmth(keypoints: Tensor, size: torch.Size) -> Tensor:
    """`motion.heatmap` as a product of one curve for each axis."""
    curves = []
    for axis, count in zip((2, 1, 0), size, strict=True):
        places = torch.linspace(-1, 1, count, dtype=keypoints.dtype, device=keypoints.device)
        curves.append(torch.exp(-0.5 * (places - keypoints[..., axis, None]).square() / VARIANCE))
    z, y, x = curves
    return z[..., :, None, None] * y[..., None, :, None] * x[..., None, None, :]


def last(x: Tensor) -> Tensor:
    """[B,C,...] as [B,...,C]."""
    return x.movedim(1, -1)


def first(x: Tensor) -> Tensor:
    """[B,...,C] as [B,C,...]."""
    return x.movedim(-1, 1)
