"""Vectors of 64 bytes as values in code that numba compiles: 16 numbers in float32, 8 in float64.

LLVM vectorises loops by itself, but not across a loop's remainder: of 49 positions it computes 17 one by one. Here the
remainder is one more vector with a mask. LLVM maps a vector to what the processor has: one register of 512 bits, two of
256, four of 128. Memory is given by addresses, in bytes.
"""

import operator

from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic, models, overload, register_model

BYTES = 64
ELEMENTS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class VectorType(types.Type):
    """The type of a vector of numbers of type `dtype`."""

    def __init__(self, dtype):
        self.dtype, self.lanes = dtype, BYTES * 8 // dtype.bitwidth
        super().__init__(f"Vector({dtype})")


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(ELEMENTS[vector.dtype], vector.lanes))


FLOAT32, FLOAT64 = VectorType(types.float32), VectorType(types.float64)
_OF = {types.float32: FLOAT32, types.float64: FLOAT64}


def llvm_type(vector):
    return ir.VectorType(ELEMENTS[vector.dtype], vector.lanes)


def number_vector(vector, value):
    element = ELEMENTS[vector.dtype]
    return ir.Constant(llvm_type(vector), [ir.Constant(element, value)] * vector.lanes)


def _splat(builder, vector, value):
    """Vector of LLVM's type `vector` with this value in every lane."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, mask)


def _at(builder, vector, address):
    return builder.inttoptr(address, llvm_type(vector).as_pointer())


def suffix(vector):
    return f"v{vector.lanes}f{vector.dtype.bitwidth}"


@intrinsic
def splat(typing, value):
    """A vector of this number in every lane."""
    vector = _OF[value]

    def generate(context, builder, signature, arguments):
        return _splat(builder, llvm_type(vector), arguments[0])

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
def stream(typing, address, value):
    """Write a vector to an address that is a multiple of its size, past the caches."""

    def generate(context, builder, signature, arguments):
        written = builder.store(arguments[1], _at(builder, value, arguments[0]), align=BYTES)
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(int64, value), generate


@intrinsic
def prefetch(typing, address):
    """Start to bring the 64 bytes at an address into the cache; the address need not exist."""

    def generate(context, builder, signature, arguments):
        pointer, integer = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, integer, integer, integer])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        options = [ir.Constant(integer, option) for option in (0, 2, 1)]  # to be read, into the second cache, of data
        builder.call(function, [builder.inttoptr(arguments[0], pointer), *options])
        return context.get_dummy_value()

    return types.void(int64), generate


@intrinsic
def read(typing, address, dtype):
    """The number at an address."""
    number = dtype.dtype

    def generate(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], ELEMENTS[number].as_pointer()))

    return number(int64, dtype), generate


@intrinsic
def write(typing, address, value):
    """Write a number to an address."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[1], builder.inttoptr(arguments[0], ELEMENTS[value].as_pointer()))
        return context.get_dummy_value()

    return types.void(int64, value), generate


def _first(builder, vector, count):
    """Mask of the first `count` lanes."""
    integers = ir.VectorType(ir.IntType(32), vector.lanes)
    lanes = ir.Constant(integers, list(range(vector.lanes)))
    return builder.icmp_signed("<", lanes, _splat(builder, integers, builder.trunc(count, ir.IntType(32))))


@intrinsic
def first(typing, value, count):
    """The vector with 0 in all lanes but the first `count`."""

    def generate(context, builder, signature, arguments):
        return builder.select(_first(builder, value, arguments[1]), arguments[0], number_vector(value, 0.0))

    return value(value, int64), generate


@intrinsic
def load_first(typing, address, count, dtype):
    """The vector at an address, of which only the first `count` lanes are read; the others are 0."""
    vector = _OF[dtype.dtype]

    def generate(context, builder, signature, arguments):
        pointer = _at(builder, vector, arguments[0])
        kind = ir.FunctionType(
            llvm_type(vector),
            [pointer.type, ir.IntType(32), ir.VectorType(ir.IntType(1), vector.lanes), llvm_type(vector)],
        )
        name = f"llvm.masked.load.{suffix(vector)}.p0"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        align = ir.Constant(ir.IntType(32), vector.dtype.bitwidth // 8)
        return builder.call(
            function, [pointer, align, _first(builder, vector, arguments[1]), number_vector(vector, 0.0)]
        )

    return vector(int64, int64, dtype), generate


@intrinsic
def store_first(typing, address, count, value):
    """Write the first `count` lanes of a vector to an address."""

    def generate(context, builder, signature, arguments):
        pointer = _at(builder, value, arguments[0])
        kind = ir.FunctionType(
            ir.VoidType(), [llvm_type(value), pointer.type, ir.IntType(32), ir.VectorType(ir.IntType(1), value.lanes)]
        )
        name = f"llvm.masked.store.{suffix(value)}.p0"
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


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define(_operation, _instruction)


def call(builder, name, vector, *arguments):
    kind = ir.FunctionType(llvm_type(vector), [llvm_type(vector)] * len(arguments))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.{suffix(vector)}"), arguments
    )


@intrinsic
def fma(typing, a, b, c):
    """a * b + c, rounded once where the processor can."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(llvm_type(a), [llvm_type(a)] * 3)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.{suffix(a)}")
        return builder.call(function, arguments)

    return a(a, a, a), generate


def size_of(dtype):
    """Bytes of a number; in compiled code only."""
    raise NotImplementedError


@overload(size_of, inline="always")
def _(dtype):
    size = dtype.dtype.bitwidth // 8
    return lambda dtype: size
