"""Batch norms folded into the convolutions before them: the same function in evaluation, with fewer passes."""

from copy import deepcopy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(model: nn.Module) -> fx.GraphModule:
    """A copy in evaluation mode of a network that torch.fx can trace; a norm that follows no convolution stays."""
    folded = fx.symbolic_trace(deepcopy(model).eval())
    for norm in list(folded.graph.nodes):
        conv = norm.args[0] if norm.args else None
        pair = [_module(folded, conv, nn.Conv2d), _module(folded, norm, nn.BatchNorm2d)]
        if all(pair) and len(conv.users) == 1:
            folded.set_submodule(conv.target, fuse_conv_bn_eval(*pair))
            norm.replace_all_uses_with(conv)
            folded.graph.erase_node(norm)
    folded.delete_all_unused_submodules()
    folded.recompile()
    return folded


def _module(traced: fx.GraphModule, node: object, kind: type[nn.Module]) -> nn.Module | None:
    """The module that a node calls, if it is of that kind."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    module = traced.get_submodule(node.target)
    return module if isinstance(module, kind) else None
