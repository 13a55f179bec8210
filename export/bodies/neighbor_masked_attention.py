"""What NeighborMaskedAttention is in standard operators."""

from __future__ import annotations

# The queries are scaled, not the scores: float16 holds those then, and a runtime folds the scale into the projection
# before. The softmax is in float32 whatever the inputs are. Mask and scale depend on no value, so that a runtime can
# fold them; for that C is the length of a maximum over batch and tokens, which nothing computes: a shape with a free
# batch would not be folded. -1e30 stands for -infinity, which kernels that go block by block may turn into NaN.
BODY = """
<domain: "edgead", opset_import: ["" : 18]>
NeighborMaskedAttention <num_heads, height, width, neighbor_height, neighbor_width> (q, k, v) => (y)
{
    zero = Constant <value_int = 0> ()
    one = Constant <value_int = 1> ()
    two = Constant <value_int = 2> ()
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    rows = Constant <value_int: int = @height> ()
    columns = Constant <value_int: int = @width> ()
    window_rows = Constant <value_int: int = @neighbor_height> ()
    window_columns = Constant <value_int: int = @neighbor_width> ()
    tokens = Mul (rows, columns)
    token = Range (zero, tokens, one)
    row = Div (token, columns)
    row_begin = Mul (row, columns)
    column = Sub (token, row_begin)
    row_of_query = Unsqueeze (row, second)
    row_of_key = Unsqueeze (row, first)
    column_of_query = Unsqueeze (column, second)
    column_of_key = Unsqueeze (column, first)
    dy = Sub (row_of_query, row_of_key)
    dx = Sub (column_of_query, column_of_key)
    distance_y = Abs (dy)
    distance_x = Abs (dx)
    span_y = Mul (two, distance_y)
    span_x = Mul (two, distance_x)
    near_y = Less (span_y, window_rows)
    near_x = Less (span_x, window_columns)
    near = And (near_y, near_x)
    hidden = Constant <value_float = -1e30> ()
    seen = Constant <value_float = 0.0> ()
    mask = Where (near, hidden, seen)

    heads = Constant <value_int: int = @num_heads> ()
    heads_axis = Unsqueeze (heads, first)
    kept_axes = Constant <value_ints = [0, 0]> ()
    other_axis = Constant <value_ints = [-1]> ()
    by_head = Concat <axis = 0> (kept_axes, heads_axis, other_axis)
    together = Constant <value_ints = [0, 0, -1]> ()
    free_axes = Constant <value_ints = [0, 1]> ()
    vector = ReduceMax <keepdims = 0> (q, free_axes)
    channels = Shape (vector)
    channels_of_head = Div (channels, heads_axis)
    channels_float = Cast <to = 1> (channels_of_head)
    root = Sqrt (channels_float)
    scale_float = Reciprocal (root)
    scale = CastLike (scale_float, q)
    q_scaled = Mul (q, scale)
    q_by_head = Reshape (q_scaled, by_head)
    k_by_head = Reshape (k, by_head)
    v_by_head = Reshape (v, by_head)
    q_heads = Transpose <perm = [0, 2, 1, 3]> (q_by_head)
    k_heads = Transpose <perm = [0, 2, 3, 1]> (k_by_head)
    v_heads = Transpose <perm = [0, 2, 1, 3]> (v_by_head)
    scores = MatMul (q_heads, k_heads)
    scores_float = Cast <to = 1> (scores)
    scores_masked = Add (scores_float, mask)
    weights_float = Softmax <axis = -1> (scores_masked)
    weights = CastLike (weights_float, q)
    mixed = MatMul (weights, v_heads)
    mixed_by_token = Transpose <perm = [0, 2, 1, 3]> (mixed)
    y = Reshape (mixed_by_token, together)
}
"""
