"""Segment Anything 2 (Ravi et al. 2024) and EdgeTAM (Zhou et al. 2025) as implemented in transformers, frame by frame.

Where a whole video is known, the library scales the age of object pointers by the video's length while that is less
than ``max_object_pointers_in_encoder`` (16) frames. A stream has no length, so on such short videos alone masks differ
a little from the library's own propagation; on longer ones they are equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from transformers import AutoConfig, EdgeTamVideoModel, Sam2VideoModel, Sam2VideoProcessor

from groundkit.errors import ModelError
from groundkit.exclusive import lock_of
from groundkit.memory import explain_out_of_memory
from groundkit.models.loading import check_model_folder, explain_loading_errors
from groundkit.models.locate import TRACKER, locate, not_wanted
from groundkit.models.options import LoadOptions
from groundkit.models.weights_check import load_weights
from groundkit.tracking.base import Mask, Pixels, Tracked

_MODELS = {"sam2_video": Sam2VideoModel, "edgetam_video": EdgeTamVideoModel}


class Sam2Tracker:
    """Follows objects with the memory of a SAM 2 or an EdgeTAM; one track holds one object.

    Args:
        model: a ``transformers.Sam2VideoModel`` or ``EdgeTamVideoModel``.
        processor: its ``Sam2VideoProcessor``; the model's input size decides, not the processor's.
        name: what messages and results call the tracker.
        device: where the model runs and the memory lies.
        dtype: of model and memory.
    """

    def __init__(
        self,
        model: Sam2VideoModel | EdgeTamVideoModel,
        processor: Sam2VideoProcessor,
        *,
        name: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.name = name
        # Any, here and below: the library's annotations do not describe its own calls.
        self.model = cast(Any, model)
        self.model.to(device, dtype).eval().requires_grad_(False)
        self.processor = cast(Any, processor)
        self.processor.target_size = self.model.config.image_size

    @classmethod
    def from_pretrained(cls, name_or_folder: str | Path, options: LoadOptions | None = None) -> Sam2Tracker:
        """Load a model by its Hub id, such as ``facebook/sam2.1-hiera-tiny``, or from a folder of the same layout.

        EdgeTAM's published weights (``yonigozlan/EdgeTAM-hf``) need the package timm for their image encoder.

        Raises:
            ModelError: the folder, a file in it, or the Hub's copy is missing, damaged, out of reach, or neither model.
        """
        options = options or LoadOptions()
        located = locate(name_or_folder, TRACKER, options)
        if located.config.get("model_type") not in _MODELS:
            raise not_wanted(name_or_folder, located.config, TRACKER)
        check_model_folder(name_or_folder, "*processor_config.json")
        where: dict[str, Any] = {"revision": options.revision or "main", "local_files_only": located.local_files_only}
        with explain_loading_errors(name_or_folder):
            try:
                config = AutoConfig.from_pretrained(name_or_folder, trust_remote_code=False, **where)
            except ImportError as error:
                if "timm" in str(error).lower():
                    raise ModelError(
                        f"{name_or_folder}: this model needs the package timm; pip install timm"
                    ) from error
                raise
            model = load_weights(
                _MODELS[config.model_type],
                name_or_folder,
                source=name_or_folder,
                config=config,
                dtype=options.dtype,
                **where,
            )
            processor = Sam2VideoProcessor.from_pretrained(name_or_folder, **where)
        return cls(model, processor, name=str(name_or_folder), device=options.device, dtype=options.dtype)

    def start(self, image: Pixels, mask: Mask) -> Sam2Track:
        """See :class:`groundkit.tracking.base.Tracker`.

        A mask that is empty, or so thin that it vanishes at the model's input size, leaves nothing to follow.
        """
        return Sam2Track(self, image, mask)


class Sam2Track:
    """One object: a session of the library that forgets what the model can no longer look at."""

    def __init__(self, tracker: Sam2Tracker, image: Pixels, mask: Mask) -> None:
        self._tracker = tracker
        model, processor = tracker.model, tracker.processor
        self._frames = 0
        with lock_of(tracker):
            self._session = processor.init_video_session(inference_device=model.device, dtype=model.dtype)
            processor.add_inputs_to_inference_session(self._session, frame_idx=0, obj_ids=1, input_masks=mask)
            self._exists = self._step(image).score >= 0.5

    def follow(self, image: Pixels) -> Tracked:
        """Find the object on the next frame; the mask has the frame's own size.

        The score is the model's own probability that the object is there; below 0.5 the mask is empty.
        """
        if not self._exists:
            return Tracked(np.zeros(image.shape[:2], dtype=np.bool_), 0.0)
        with lock_of(self._tracker):
            return self._step(image)

    @explain_out_of_memory()
    @torch.inference_mode()
    def _step(self, image: Pixels) -> Tracked:
        model, processor = self._tracker.model, self._tracker.processor
        size = {"height": model.config.image_size, "width": model.config.image_size}
        # Named, because a frame 1 or 3 pixels high would be taken for channels-first.
        inputs = processor(images=image, size=size, input_data_format="channels_last", return_tensors="pt")
        # The index is named because the session would count the frames that it holds.
        output = model(self._session, frame=inputs["pixel_values"].to(model.device), frame_idx=self._frames)
        _forget(self._session, self._frames, model.config)
        self._frames += 1
        # Where the model says that the object is not there, it has set every logit far below 0 itself.
        masks = processor.post_process_masks([output.pred_masks.float()], [image.shape[:2]])
        score = torch.sigmoid(output.object_score_logits.float()).item()
        return Tracked(masks[0][0, 0].cpu().numpy(), score)


def _forget(session: Any, last: int, config: Any) -> None:
    """Drop from a session of one object, with a mask on its first frame, what frames after ``last`` do not look at.

    Those read the first frame's memory and object pointer, the memories of the ``num_maskmem - 1`` frames before them,
    and the pointers of the ``max_object_pointers_in_encoder - 1`` before them; nothing else of what was seen.
    """
    session.processed_frames.clear()
    session.cache.clear_all()
    session.mask_inputs_per_obj[0].clear()
    session.frames_tracked_per_obj[0].clear()
    first, later = (session.output_dict_per_obj[0][kind] for kind in ("cond_frame_outputs", "non_cond_frame_outputs"))
    for output in (*first.values(), *later.values()):
        for key in ("pred_masks", "high_res_masks", "object_score_logits"):
            output.pop(key, None)
    for index, output in list(later.items()):
        age = last + 1 - index  # as the next frame counts
        if age >= config.num_maskmem:
            output.pop("maskmem_features", None)
            output.pop("maskmem_pos_enc", None)
        if age >= config.max_object_pointers_in_encoder:
            output.pop("object_pointer", None)
        if not output:
            del later[index]
