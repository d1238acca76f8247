package taskiter

import "encoding/binary"

// program is a BPF program that is being written: instructions of 8 bytes, as in the kernel's documentation,
// bpf/standardization/instruction-set.rst.
type program struct {
	code     []byte
	function uint32 // the number, among the kernel's types, of the one that stands for its iterator
}

type register = byte

// The registers: the result, four arguments, of which a program gets its context in the first, three that a helper
// leaves alone, the end of the stack.
const r0, r1, r2, r3, r6, r7, r8, r9, fp register = 0, 1, 2, 3, 6, 7, 8, 9, 10

// The helpers of linux/bpf.h.
const helperCurrentTask, helperReadKernel, helperSeqWrite = 35, 113, 127

// scratch is where on the stack deref puts what it reads. Records begin below.
const scratch = -8

func (p *program) put(op byte, to, from register, offset int16, constant int32) {
	p.code = append(p.code, op, to|from<<4)
	p.code = binary.LittleEndian.AppendUint16(p.code, uint16(offset))
	p.code = binary.LittleEndian.AppendUint32(p.code, uint32(constant))
}

func (p *program) move(to, from register)          { p.put(0xbf, to, from, 0, 0) }
func (p *program) set(to register, n int)          { p.put(0xb7, to, 0, 0, int32(n)) }
func (p *program) add(to register, n int)          { p.put(0x07, to, 0, 0, int32(n)) }
func (p *program) addTo(to, from register)         { p.put(0x0f, to, from, 0, 0) }
func (p *program) times(to register, n int)        { p.put(0x27, to, 0, 0, int32(n)) }
func (p *program) and(to register, n int)          { p.put(0x57, to, 0, 0, int32(n)) }
func (p *program) loadWord(to, at register, n int) { p.put(0x61, to, at, int16(n), 0) }
func (p *program) loadHalf(to, at register, n int) { p.put(0x69, to, at, int16(n), 0) }
func (p *program) load(to, at register, n int)     { p.put(0x79, to, at, int16(n), 0) }
func (p *program) zero(n int)                      { p.put(0x7a, fp, 0, int16(n), 0) }
func (p *program) setWord(n, value int)            { p.put(0x62, fp, 0, int16(n), int32(value)) }
func (p *program) store(n int, from register)      { p.put(0x7b, fp, from, int16(n), 0) }
func (p *program) storeWord(n int, from register)  { p.put(0x63, fp, from, int16(n), 0) }
func (p *program) call(helper int)                 { p.put(0x85, 0, 0, 0, int32(helper)) }

// exit ends the program.
func (p *program) exit() {
	p.set(r0, 0)
	p.put(0x95, 0, 0, 0, 0)
}

// jump is a jump whose end is not known yet.
type jump int

func (p *program) ifEqual(a register, n int) jump { return p.jumpOn(0x15, a, 0, n) }
func (p *program) ifLess(a register, n int) jump  { return p.jumpOn(0xa5, a, 0, n) }
func (p *program) ifDifferent(a, b register) jump { return p.jumpOn(0x5d, a, b, 0) }
func (p *program) ifNot(a register, n int) jump   { return p.jumpOn(0x55, a, 0, n) }
func (p *program) goTo() jump                     { return p.jumpOn(0x05, 0, 0, 0) }
func (p *program) jumpOn(op byte, a, b register, n int) jump {
	p.put(op, a, b, 0, int32(n))
	return jump(len(p.code))
}

// here is where the jumps end.
func (p *program) here(jumps ...jump) {
	for _, j := range jumps {
		binary.LittleEndian.PutUint16(p.code[j-6:], uint16((len(p.code)-int(j))/8))
	}
}

// read copies memory of the kernel to the stack. It becomes 0 where a pointer leads nowhere, so that a chain of pointers
// need not be checked link by link. Arguments and result are lost.
func (p *program) read(to, size int, base register, offset int) {
	p.move(r1, fp)
	p.add(r1, to)
	p.set(r2, size)
	p.move(r3, base)
	p.add(r3, offset)
	p.call(helperReadKernel)
}

// deref follows a pointer in the memory of the kernel.
func (p *program) deref(to, base register, offset int) {
	p.read(scratch, 8, base, offset)
	p.load(to, fp, scratch)
}

// write writes a record on the stack to the reader; seq is lost.
func (p *program) write(seq register, from, size int) {
	p.move(r1, seq)
	p.move(r2, fp)
	p.add(r2, from)
	p.set(r3, size)
	p.call(helperSeqWrite)
}
