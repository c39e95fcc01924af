"""Vectors of 64 bytes as values in code that numba compiles: 16 numbers in float32, 8 in float64.

LLVM vectorises loops by itself, but not across a loop's remainder: of 49 positions it computes 17 one by one. Here the
remainder is one more vector with a mask. LLVM maps a vector to what the processor has: one register of 512 bits, two of
256, four of 128. Memory is given by addresses, in bytes.
"""

import operator

import numpy as np
from llvmlite import ir
from numba import int64, njit, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

BYTES = 64
_BITS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class VectorType(types.Type):
    """The type of a vector of numbers of type `dtype`."""

    def __init__(self, dtype):
        self.dtype, self.lanes = dtype, BYTES * 8 // dtype.bitwidth
        super().__init__(f"Vector({dtype})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(_BITS[vector.dtype], vector.lanes))


FLOAT32, FLOAT64 = VectorType(types.float32), VectorType(types.float64)
_OF = {types.float32: FLOAT32, types.float64: FLOAT64}


def _llvm(vector):
    return ir.VectorType(_BITS[vector.dtype], vector.lanes)


def _number(vector, value):
    element = _BITS[vector.dtype]
    return ir.Constant(_llvm(vector), [ir.Constant(element, value)] * vector.lanes)


def _splat(builder, vector, value):
    undefined = ir.Constant(_llvm(vector), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(first, undefined, mask)


def _at(builder, vector, address):
    return builder.inttoptr(address, _llvm(vector).as_pointer())


def _suffix(vector):
    return f"v{vector.lanes}f{vector.dtype.bitwidth}"


@intrinsic
def splat(typing, value):
    """A vector of this number in every lane."""
    vector = _OF[value]

    def generate(context, builder, signature, arguments):
        return _splat(builder, vector, arguments[0])

    return vector(value), generate


@intrinsic
def load(typing, address, dtype):
    """The vector at an address."""
    vector = _OF[dtype.dtype]

    def generate(context, builder, signature, arguments):
        return builder.load(_at(builder, vector, arguments[0]), align=vector.dtype.bitwidth // 8)

    return vector(int64, dtype), generate


@intrinsic
def store(typing, address, value):
    """Write a vector to an address."""

    def generate(context, builder, signature, arguments):
        pointer = _at(builder, value, arguments[0])
        builder.store(arguments[1], pointer, align=value.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(int64, value), generate


@intrinsic
def read(typing, address, dtype):
    """The number at an address."""
    number = dtype.dtype

    def generate(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], _BITS[number].as_pointer()))

    return number(int64, dtype), generate


@intrinsic
def write(typing, address, value):
    """Write a number to an address."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[1], builder.inttoptr(arguments[0], _BITS[value].as_pointer()))
        return context.get_dummy_value()

    return types.void(int64, value), generate


def _first(builder, vector, count):
    """Mask of the first `count` lanes."""
    integers = ir.VectorType(ir.IntType(32), vector.lanes)
    lanes = ir.Constant(integers, list(range(vector.lanes)))
    undefined = ir.Constant(integers, ir.Undefined)
    first = builder.insert_element(undefined, builder.trunc(count, ir.IntType(32)), ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [0] * vector.lanes)
    return builder.icmp_signed("<", lanes, builder.shuffle_vector(first, undefined, mask))


@intrinsic
def first(typing, value, count):
    """The vector with 0 in all lanes but the first `count`."""

    def generate(context, builder, signature, arguments):
        return builder.select(_first(builder, value, arguments[1]), arguments[0], _number(value, 0.0))

    return value(value, int64), generate


@intrinsic
def load_first(typing, address, count, dtype):
    """The vector at an address, of which only the first `count` lanes are read; the others are 0."""
    vector = _OF[dtype.dtype]

    def generate(context, builder, signature, arguments):
        pointer = _at(builder, vector, arguments[0])
        kind = ir.FunctionType(_llvm(vector), [pointer.type, ir.IntType(32), ir.VectorType(ir.IntType(1), vector.lanes), _llvm(vector)])
        name = f"llvm.masked.load.{_suffix(vector)}.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        align = ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8)
        return builder.call(function, [pointer, align, _first(builder, vector, arguments[1]), _number(vector, 0.0)])

    return vector(int64, int64, dtype), generate


@intrinsic
def store_first(typing, address, count, value):
    """Write the first `count` lanes of a vector to an address."""

    def generate(context, builder, signature, arguments):
        pointer = _at(builder, value, arguments[0])
        kind = ir.FunctionType(ir.VoidType(), [_llvm(value), pointer.type, ir.IntType(32), ir.VectorType(ir.IntType(1), value.lanes)])
        name = f"llvm.masked.store.{_suffix(value)}.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        align = ir.Constant(ir.IntType(32), value.dtype.bitwidth // 8)
        builder.call(function, [arguments[2], pointer, align, _first(builder, value, arguments[1])])
        return context.get_dummy_value()

    return types.void(int64, int64, value), generate


def _arithmetic(instruction):
    @intrinsic
    def operate(typing, a, b):
        def generate(context, builder, signature, arguments):
            return getattr(builder, instruction)(*arguments, flags=("contract", "nsz", "arcp"))

        return a(a, a), generate

    return operate


def _define(operation, instruction):
    operate = _arithmetic(instruction)

    @overload(operation, inline="always")
    def _(a, b):
        if isinstance(a, VectorType) and a == b:
            return lambda a, b: operate(a, b)


for _operation, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul"), (operator.truediv, "fdiv")):
    _define(_operation, _instruction)


@intrinsic
def fma(typing, a, b, c):
    """a * b + c, rounded once where the processor can."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_llvm(a), [_llvm(a)] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.{_suffix(a)}")
        return builder.call(function, arguments)

    return a(a, a, a), generate


@intrinsic
def keep_positive(typing, value, test):
    """`value` where `test` is not <= 0, and 0 elsewhere; where `test` is no number, `value` stays."""

    def generate(context, builder, signature, arguments):
        zero = _number(value, 0.0)
        return builder.select(builder.fcmp_ordered("<=", arguments[1], zero), zero, arguments[0])

    return value(value, value), generate


@intrinsic
def relu(typing, value):
    """The larger one of 0 and `value`; what is no number stays."""

    def generate(context, builder, signature, arguments):
        zero = _number(value, 0.0)
        return builder.select(builder.fcmp_ordered("<", arguments[0], zero), zero, arguments[0])

    return value(value), generate


@intrinsic
def total(typing, value):
    """The sum of the lanes."""

    def generate(context, builder, signature, arguments):
        element = _BITS[value.dtype]
        kind = ir.FunctionType(element, [element, _llvm(value)])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.{_suffix(value)}")
        return builder.call(function, [ir.Constant(element, 0.0), arguments[0]], fastmath=("reassoc",))

    return value.dtype(value), generate


def _fours(vector, pattern):
    """A shuffle's mask from a pattern for every four lanes; 4 to 7 are lanes of the second vector."""
    lanes = [four + (lane if lane < 4 else vector.lanes + lane - 4) for four in range(0, vector.lanes, 4) for lane in pattern]
    return ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), lanes)


@intrinsic
def sum_quads(typing, a, b, c, d):
    """The sums of every four lanes of four vectors: lane 4 k + v is the sum of quad k of vector v."""

    def generate(context, builder, signature, arguments):
        def pairs(one, other):
            halves = (builder.shuffle_vector(one, other, _fours(a, pattern)) for pattern in ((0, 2, 4, 6), (1, 3, 5, 7)))
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


def _call(builder, name, vector, *arguments):
    kind = ir.FunctionType(_llvm(vector), [_llvm(vector)] * len(arguments))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{_suffix(vector)}"), arguments)


@intrinsic
def sigmoid(typing, value):
    """1 / (1 + exp(-value)). In float32 within 2e-7 of it, relatively, for |value| < 87."""

    def generate(context, builder, signature, arguments):
        one, e = _number(value, 1.0), builder.fneg(arguments[0])
        exp = _exp32 if value == FLOAT32 else lambda builder, e: _call(builder, "exp", FLOAT64, e)
        return builder.fdiv(one, builder.fadd(one, exp(builder, e)))

    return value(value), generate


def _exp32(builder, e):
    """2^n exp(f) with |f| <= ln(2) / 2, where the Taylor polynomial of degree 7 is exact to 6e-9."""
    number = lambda value: _number(FLOAT32, float(np.float32(value)))
    for order, limit in (("<", -87.0), (">", 87.0)):
        e = builder.select(builder.fcmp_ordered(order, e, number(limit)), number(limit), e)
    n = _call(builder, "floor", FLOAT32, _call(builder, "fmuladd", FLOAT32, e, number(1.4426950408889634), number(0.5)))
    # ln 2 in two parts, the first short, so that its product with n is exact
    f = _call(builder, "fmuladd", FLOAT32, n, number(-0.693359375), e)
    f = _call(builder, "fmuladd", FLOAT32, n, number(2.12194440054690583e-4), f)
    p = number(1 / 5040)
    for factor in (1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0):
        p = _call(builder, "fmuladd", FLOAT32, p, f, number(factor))
    integers = ir.VectorType(ir.IntType(32), FLOAT32.lanes)
    constant = lambda value: ir.Constant(integers, [value] * FLOAT32.lanes)
    bits = builder.shl(builder.add(builder.fptosi(n, integers), constant(127)), constant(23))
    return builder.fmul(p, builder.bitcast(bits, _llvm(FLOAT32)))


@intrinsic
def divided(typing, a, b):
    """a / b where b is above 0, and 0 elsewhere."""

    def generate(context, builder, signature, arguments):
        zero, (one, other) = _number(a, 0.0), arguments
        return builder.select(builder.fcmp_ordered(">", other, zero), builder.fdiv(one, other), zero)

    return a(a, a), generate


@intrinsic
def root(typing, value):
    """The square root."""

    def generate(context, builder, signature, arguments):
        return _call(builder, "sqrt", value, arguments[0])

    return value(value), generate


def size_of(dtype):
    """Bytes of a number; in compiled code only."""
    raise NotImplementedError


@overload(size_of, inline="always")
def _(dtype):
    size = dtype.dtype.bitwidth // 8
    return lambda dtype: size
