"""Functions of vectors in code that numba compiles: see `_cpu_vectors`."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from sgenet.kernels._cpu_vectors import ELEMENTS, FLOAT32, FLOAT64, call, llvm_type, number_vector, suffix


@intrinsic
def keep_positive(typing, value, test):
    """`value` where `test` is not <= 0, and 0 elsewhere; where `test` is no number, `value` stays."""

    def generate(context, builder, signature, arguments):
        zero = number_vector(value, 0.0)
        return builder.select(builder.fcmp_ordered("<=", arguments[1], zero), zero, arguments[0])

    return value(value, value), generate


@intrinsic
def relu(typing, value):
    """The larger one of 0 and `value`; what is no number stays."""

    def generate(context, builder, signature, arguments):
        zero = number_vector(value, 0.0)
        return builder.select(builder.fcmp_ordered("<", arguments[0], zero), zero, arguments[0])

    return value(value), generate


@intrinsic
def total(typing, value):
    """The sum of the lanes."""

    def generate(context, builder, signature, arguments):
        element = ELEMENTS[value.dtype]
        kind = ir.FunctionType(element, [element, llvm_type(value)])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.{suffix(value)}")
        return builder.call(function, [ir.Constant(element, 0.0), arguments[0]], fastmath=("reassoc",))

    return value.dtype(value), generate


def _fours(vector, pattern):
    """A shuffle's mask from a pattern for every four lanes; 4 to 7 are lanes of the second vector."""
    lanes = [
        four + (lane if lane < 4 else vector.lanes + lane - 4) for four in range(0, vector.lanes, 4) for lane in pattern
    ]
    return ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), lanes)


@intrinsic
def sum_quads(typing, a, b, c, d):
    """The sums of every four lanes of four vectors: lane 4 k + v is the sum of quad k of vector v."""

    def generate(context, builder, signature, arguments):
        def pairs(one, other):
            halves = (
                builder.shuffle_vector(one, other, _fours(a, pattern)) for pattern in ((0, 2, 4, 6), (1, 3, 5, 7))
            )
            return builder.fadd(*halves)

        a_b, c_d = pairs(arguments[0], arguments[1]), pairs(arguments[2], arguments[3])
        return pairs(a_b, c_d)

    return a(a, a, a, a), generate


@intrinsic(prefer_literal=True)
def quad(typing, value, number):
    """Inverse of `sum_quads`: lane 4 k + `number` in lanes 4 k to 4 k + 3. `number` is a literal."""
    if not isinstance(number, types.IntegerLiteral):
        return None
    position = number.literal_value

    def generate(context, builder, signature, arguments):
        return builder.shuffle_vector(arguments[0], arguments[0], _fours(value, (position,) * 4))

    return value(value, number), generate


@intrinsic(prefer_literal=True)
def swapped(typing, value, distance):
    """The vector with lane i exchanged with lane i xor `distance`, a literal."""
    if not isinstance(distance, types.IntegerLiteral):
        return None
    step = distance.literal_value

    def generate(context, builder, signature, arguments):
        mask = ir.Constant(ir.VectorType(ir.IntType(32), value.lanes), [lane ^ step for lane in range(value.lanes)])
        return builder.shuffle_vector(arguments[0], arguments[0], mask)

    return value(value, distance), generate


@intrinsic
def sigmoid(typing, value):
    """1 / (1 + exp(-value)). In float32 within 2e-7 of it, relatively, for |value| < 87."""

    def generate(context, builder, signature, arguments):
        one, e = number_vector(value, 1.0), builder.fneg(arguments[0])
        exp = _exp32 if value == FLOAT32 else lambda builder, e: call(builder, "exp", FLOAT64, e)
        return builder.fdiv(one, builder.fadd(one, exp(builder, e)))

    return value(value), generate


def _exp32(builder, e):
    """2^n exp(f) with |f| <= ln(2) / 2, where the Taylor polynomial of degree 7 is exact to 6e-9."""

    def constant(value):
        return number_vector(FLOAT32, float(np.float32(value)))

    for order, limit in (("<", -87.0), (">", 87.0)):
        e = builder.select(builder.fcmp_ordered(order, e, constant(limit)), constant(limit), e)
    n = call(
        builder, "floor", FLOAT32, call(builder, "fmuladd", FLOAT32, e, constant(1.4426950408889634), constant(0.5))
    )
    # ln 2 in two parts, the first short, so that its product with n is exact
    f = call(builder, "fmuladd", FLOAT32, n, constant(-0.693359375), e)
    f = call(builder, "fmuladd", FLOAT32, n, constant(2.12194440054690583e-4), f)
    p = constant(1 / 5040)
    for factor in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        p = call(builder, "fmuladd", FLOAT32, p, f, constant(factor))
    integers = ir.VectorType(ir.IntType(32), FLOAT32.lanes)

    def integer(value):
        return ir.Constant(integers, [value] * FLOAT32.lanes)

    bits = builder.shl(builder.add(builder.fptosi(n, integers), integer(127)), integer(23))
    return builder.fmul(p, builder.bitcast(bits, llvm_type(FLOAT32)))


@intrinsic
def divided(typing, a, b):
    """a / b where b is above 0, and 0 elsewhere."""

    def generate(context, builder, signature, arguments):
        zero, (one, other) = number_vector(a, 0.0), arguments
        return builder.select(builder.fcmp_ordered(">", other, zero), builder.fdiv(one, other), zero)

    return a(a, a), generate


@intrinsic
def root(typing, value):
    """The square root."""

    def generate(context, builder, signature, arguments):
        return call(builder, "sqrt", value, arguments[0])

    return value(value), generate
