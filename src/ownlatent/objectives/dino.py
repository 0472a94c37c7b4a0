"""DINO's self-distillation."""

from torch import Tensor

from ownlatent.objectives.precision import widen


def dino(
    student: Tensor,
    teacher: Tensor,
    center: Tensor,
    student_temperature: float | Tensor = 0.1,
    teacher_temperature: float | Tensor = 0.04,
) -> Tensor:
    r"""Cross-entropy of the student with the centred, sharpened teacher (DINO, equations 1 and 2).

    .. math::
        - \sum_k P_t^{(k)} \log P_s^{(k)}, \qquad P_t = \mathrm{softmax}((t - c) / \tau_t), \quad
        P_s = \mathrm{softmax}(s / \tau_s)

    averaged over the batch; ln K where the student's outputs agree. The mean over pairs of crops
    and the centre's update, after it is used, are the method's.

    Args:
        student: float ``[B, K]``, the student's outputs for one crop.
        teacher: float ``[B, K]``, the teacher's for another crop; detached here.
        center: float ``[K]`` or ``[1, K]``, the running mean of the teacher's outputs; detached
            here.
        student_temperature: tau_s, above 0; a number or a 0-d tensor.
        teacher_temperature: tau_t, above 0; a number or, for a schedule, a 0-d tensor.

    Returns:
        A scalar; float32 at least.
    """
    centred = widen(teacher) - widen(center)
    probabilities = (centred / teacher_temperature).softmax(dim=-1).detach()
    log_probabilities = (widen(student) / student_temperature).log_softmax(dim=-1)
    return -(probabilities * log_probabilities).sum(-1).mean()
