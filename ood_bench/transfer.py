"""Batches on their way to a CUDA device: copied while the one before is computed on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

SLOTS = 2  # sets of pinned buffers: one is filled while the other is being copied from


class PinnedCopies:
    """Copies to a CUDA device through pinned buffers on a stream of its own, one batch ahead of who reads them.

    The host waits only for a buffer that is still being copied from; kernels wait for their batch on the device.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.side = torch.cuda.Stream(device)
        self.buffers: list[dict[str, Tensor]] = [{} for _ in range(SLOTS)]
        self.copied: list[torch.cuda.Event | None] = [None] * SLOTS
        self.turn = 0

    def ahead(self, batches: Iterable[tuple[int, Mapping[str, Tensor]]]) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """The same batches on the device; each is being copied while its predecessor is in use."""
        before: tuple[int, dict[str, Tensor], torch.cuda.Event] | None = None
        for start, tensors in batches:
            sent = (start, *self._send(tensors))
            if before is not None:
                yield self._arrived(*before)
            before = sent
        if before is not None:
            yield self._arrived(*before)

    def _send(self, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], torch.cuda.Event]:
        slot, self.turn = self.turn, (self.turn + 1) % SLOTS
        done = self.copied[slot]
        if done is not None:
            done.synchronize()
        on_device = {}
        with torch.cuda.stream(self.side):
            for name, tensor in tensors.items():
                pinned = self._buffer(slot, name, tensor)
                pinned.copy_(tensor)
                on_device[name] = pinned.to(self.device, non_blocking=True)
            event = torch.cuda.Event()
            event.record(self.side)
        self.copied[slot] = event
        return on_device, event

    def _buffer(self, slot: int, name: str, tensor: Tensor) -> Tensor:
        held = self.buffers[slot].get(name)
        if held is None or len(held) < len(tensor) or held.shape[1:] != tensor.shape[1:] or held.dtype != tensor.dtype:
            held = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self.buffers[slot][name] = held
        return held[: len(tensor)]

    def _arrived(
        self, start: int, tensors: dict[str, Tensor], event: torch.cuda.Event
    ) -> tuple[int, dict[str, Tensor]]:
        current = torch.cuda.current_stream(self.device)
        current.wait_event(event)
        for tensor in tensors.values():
            tensor.record_stream(current)  # its memory is given out again only after what reads it here
        return start, tensors
