//go:build !purego

#include "textflag.h"

// The two messages take turns at every step. Of each, a state is in two
// registers, and the last sixteen words of the message schedule in four:
//
//	a: X1 (F E B A)  X2 (H G D C)  X3 X4 X5 X6
//	b: X7            X8            X9 X10 X11 X12
//
// X0 is what SHA256RNDS2 adds, X13 and X14 are for the moment, and X15 turns
// words around.

// FOUR does rounds 4r to 4r+3, of which m and o are the words.
#define FOUR(r, m, o) \
	VPADDD      (16*r)(DX), m, X0 \
	SHA256RNDS2 X0, X1, X2        \
	VPSHUFD     $0x0e, X0, X13    \
	VPADDD      (16*r)(DX), o, X0 \
	SHA256RNDS2 X0, X7, X8        \
	VPSHUFD     $0x0e, X0, X14    \
	VMOVDQA     X13, X0           \
	SHA256RNDS2 X0, X2, X1        \
	VMOVDQA     X14, X0           \
	SHA256RNDS2 X0, X8, X7

// NEXT makes four words out of the sixteen before them, in the place of the
// oldest.
#define NEXT(m0, m1, m2, m3, o0, o1, o2, o3) \
	SHA256MSG1 m1, m0           \
	SHA256MSG1 o1, o0           \
	VPALIGNR   $4, m2, m3, X13  \
	VPALIGNR   $4, o2, o3, X14  \
	VPADDD     X13, m0, m0      \
	VPADDD     X14, o0, o0      \
	SHA256MSG2 m3, m0           \
	SHA256MSG2 o3, o0

#define STEP(r, m0, m1, m2, m3, o0, o1, o2, o3) \
	FOUR(r, m0, o0) \
	NEXT(m0, m1, m2, m3, o0, o1, o2, o3)

#define LOAD(at, from, to) \
	VMOVDQU at(from), to \
	VPSHUFB X15, to, to

// func blocks2(a, b *state, p, q *byte, n int)
TEXT ·blocks2(SB), NOSPLIT, $64-40
	MOVQ    a+0(FP), AX
	MOVQ    b+8(FP), BX
	MOVQ    p+16(FP), SI
	MOVQ    q+24(FP), DI
	MOVQ    n+32(FP), CX
	LEAQ    k<>(SB), DX
	VMOVDQU turn<>(SB), X15
	VMOVDQU (AX), X1
	VMOVDQU 16(AX), X2
	VMOVDQU (BX), X7
	VMOVDQU 16(BX), X8

block:
	VMOVDQU X1, 0(SP)
	VMOVDQU X2, 16(SP)
	VMOVDQU X7, 32(SP)
	VMOVDQU X8, 48(SP)
	LOAD(0, SI, X3)
	LOAD(0, DI, X9)
	LOAD(16, SI, X4)
	LOAD(16, DI, X10)
	LOAD(32, SI, X5)
	LOAD(32, DI, X11)
	LOAD(48, SI, X6)
	LOAD(48, DI, X12)
	STEP(0, X3, X4, X5, X6, X9, X10, X11, X12)
	STEP(1, X4, X5, X6, X3, X10, X11, X12, X9)
	STEP(2, X5, X6, X3, X4, X11, X12, X9, X10)
	STEP(3, X6, X3, X4, X5, X12, X9, X10, X11)
	STEP(4, X3, X4, X5, X6, X9, X10, X11, X12)
	STEP(5, X4, X5, X6, X3, X10, X11, X12, X9)
	STEP(6, X5, X6, X3, X4, X11, X12, X9, X10)
	STEP(7, X6, X3, X4, X5, X12, X9, X10, X11)
	STEP(8, X3, X4, X5, X6, X9, X10, X11, X12)
	STEP(9, X4, X5, X6, X3, X10, X11, X12, X9)
	STEP(10, X5, X6, X3, X4, X11, X12, X9, X10)
	STEP(11, X6, X3, X4, X5, X12, X9, X10, X11)
	FOUR(12, X3, X9)
	FOUR(13, X4, X10)
	FOUR(14, X5, X11)
	FOUR(15, X6, X12)
	VPADDD 0(SP), X1, X1
	VPADDD 16(SP), X2, X2
	VPADDD 32(SP), X7, X7
	VPADDD 48(SP), X8, X8
	ADDQ   $64, SI
	ADDQ   $64, DI
	DECQ   CX
	JNZ    block

	VMOVDQU X1, (AX)
	VMOVDQU X2, 16(AX)
	VMOVDQU X7, (BX)
	VMOVDQU X8, 16(BX)
	RET

// ROLL takes two bytes at SI into the gear hash in R8, and counts in AX which of
// the two hashes are below R10. The hash after both does not wait for the one
// between.
#define ROLL(at) \
	MOVBLZX (at)(SI), R11     \
	MOVBLZX (at+1)(SI), R12   \
	MOVQ    (R9)(R11*8), R11  \
	LEAQ    (R11)(R8*2), R13  \
	ADDQ    R11, R11          \
	ADDQ    (R9)(R12*8), R11  \
	LEAQ    (R11)(R8*4), R8   \
	CMPQ    R13, R10          \
	ADCQ    $0, AX            \
	CMPQ    R8, R10           \
	ADCQ    $0, AX

#define ROLLSTEP(r, m0, m1, m2, m3, o0, o1, o2, o3) \
	FOUR(r, m0, o0) \
	ROLL(4*r)       \
	NEXT(m0, m1, m2, m3, o0, o1, o2, o3) \
	ROLL(4*r+2)

#define ROLLFOUR(r, m, o) \
	FOUR(r, m, o) \
	ROLL(4*r)     \
	ROLL(4*r+2)

// func rollBlocks2(a, b *state, p, q *byte, n int, gear *[256]uint64, below, h uint64, hints *byte) uint64
TEXT ·rollBlocks2(SB), NOSPLIT, $64-80
	MOVQ    a+0(FP), AX
	MOVQ    b+8(FP), BX
	MOVQ    p+16(FP), SI
	MOVQ    q+24(FP), DI
	MOVQ    n+32(FP), CX
	LEAQ    k<>(SB), DX
	VMOVDQU turn<>(SB), X15
	VMOVDQU (AX), X1
	VMOVDQU 16(AX), X2
	VMOVDQU (BX), X7
	VMOVDQU 16(BX), X8
	MOVQ    gear+40(FP), R9
	MOVQ    below+48(FP), R10
	MOVQ    h+56(FP), R8
	MOVQ    hints+64(FP), BX

block:
	XORL    AX, AX
	VMOVDQU X1, 0(SP)
	VMOVDQU X2, 16(SP)
	VMOVDQU X7, 32(SP)
	VMOVDQU X8, 48(SP)
	LOAD(0, SI, X3)
	LOAD(0, DI, X9)
	LOAD(16, SI, X4)
	LOAD(16, DI, X10)
	LOAD(32, SI, X5)
	LOAD(32, DI, X11)
	LOAD(48, SI, X6)
	LOAD(48, DI, X12)
	ROLLSTEP(0, X3, X4, X5, X6, X9, X10, X11, X12)
	ROLLSTEP(1, X4, X5, X6, X3, X10, X11, X12, X9)
	ROLLSTEP(2, X5, X6, X3, X4, X11, X12, X9, X10)
	ROLLSTEP(3, X6, X3, X4, X5, X12, X9, X10, X11)
	ROLLSTEP(4, X3, X4, X5, X6, X9, X10, X11, X12)
	ROLLSTEP(5, X4, X5, X6, X3, X10, X11, X12, X9)
	ROLLSTEP(6, X5, X6, X3, X4, X11, X12, X9, X10)
	ROLLSTEP(7, X6, X3, X4, X5, X12, X9, X10, X11)
	ROLLSTEP(8, X3, X4, X5, X6, X9, X10, X11, X12)
	ROLLSTEP(9, X4, X5, X6, X3, X10, X11, X12, X9)
	ROLLSTEP(10, X5, X6, X3, X4, X11, X12, X9, X10)
	ROLLSTEP(11, X6, X3, X4, X5, X12, X9, X10, X11)
	ROLLFOUR(12, X3, X9)
	ROLLFOUR(13, X4, X10)
	ROLLFOUR(14, X5, X11)
	ROLLFOUR(15, X6, X12)
	VPADDD 0(SP), X1, X1
	VPADDD 16(SP), X2, X2
	VPADDD 32(SP), X7, X7
	VPADDD 48(SP), X8, X8
	TESTQ  AX, AX
	SETNE  (BX)
	INCQ   BX
	ADDQ   $64, SI
	ADDQ   $64, DI
	DECQ   CX
	JNZ    block

	MOVQ    a+0(FP), AX
	MOVQ    b+8(FP), BX
	VMOVDQU X1, (AX)
	VMOVDQU X2, 16(AX)
	VMOVDQU X7, (BX)
	VMOVDQU X8, 16(BX)
	MOVQ    R8, ret+72(FP)
	RET

// func hasSHA() bool
TEXT ·hasSHA(SB), NOSPLIT, $0-1
	XORL  AX, AX
	XORL  CX, CX
	CPUID
	CMPL  AX, $7
	JLT   no
	MOVL  $7, AX
	XORL  CX, CX
	CPUID
	SHRL  $29, BX // leaf 7, EBX, bit 29
	ANDL  $1, BX
	MOVB  BX, ret+0(FP)
	RET

no:
	MOVB $0, ret+0(FP)
	RET

DATA turn<>+0(SB)/8, $0x0405060700010203
DATA turn<>+8(SB)/8, $0x0c0d0e0f08090a0b
GLOBL turn<>(SB), RODATA|NOPTR, $16

// The constants of the rounds (FIPS 180-4, 4.2.2), two by two.
DATA k<>+0(SB)/8, $0x71374491428a2f98
DATA k<>+8(SB)/8, $0xe9b5dba5b5c0fbcf
DATA k<>+16(SB)/8, $0x59f111f13956c25b
DATA k<>+24(SB)/8, $0xab1c5ed5923f82a4
DATA k<>+32(SB)/8, $0x12835b01d807aa98
DATA k<>+40(SB)/8, $0x550c7dc3243185be
DATA k<>+48(SB)/8, $0x80deb1fe72be5d74
DATA k<>+56(SB)/8, $0xc19bf1749bdc06a7
DATA k<>+64(SB)/8, $0xefbe4786e49b69c1
DATA k<>+72(SB)/8, $0x240ca1cc0fc19dc6
DATA k<>+80(SB)/8, $0x4a7484aa2de92c6f
DATA k<>+88(SB)/8, $0x76f988da5cb0a9dc
DATA k<>+96(SB)/8, $0xa831c66d983e5152
DATA k<>+104(SB)/8, $0xbf597fc7b00327c8
DATA k<>+112(SB)/8, $0xd5a79147c6e00bf3
DATA k<>+120(SB)/8, $0x1429296706ca6351
DATA k<>+128(SB)/8, $0x2e1b213827b70a85
DATA k<>+136(SB)/8, $0x53380d134d2c6dfc
DATA k<>+144(SB)/8, $0x766a0abb650a7354
DATA k<>+152(SB)/8, $0x92722c8581c2c92e
DATA k<>+160(SB)/8, $0xa81a664ba2bfe8a1
DATA k<>+168(SB)/8, $0xc76c51a3c24b8b70
DATA k<>+176(SB)/8, $0xd6990624d192e819
DATA k<>+184(SB)/8, $0x106aa070f40e3585
DATA k<>+192(SB)/8, $0x1e376c0819a4c116
DATA k<>+200(SB)/8, $0x34b0bcb52748774c
DATA k<>+208(SB)/8, $0x4ed8aa4a391c0cb3
DATA k<>+216(SB)/8, $0x682e6ff35b9cca4f
DATA k<>+224(SB)/8, $0x78a5636f748f82ee
DATA k<>+232(SB)/8, $0x8cc7020884c87814
DATA k<>+240(SB)/8, $0xa4506ceb90befffa
DATA k<>+248(SB)/8, $0xc67178f2bef9a3f7
GLOBL k<>(SB), RODATA|NOPTR, $256
