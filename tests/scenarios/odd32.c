/* A 32-bit program without a C library: it execs its own arguments, or execveats them by a path.
   Usage: odd32 execve|execveat PROGRAM [ARGUMENT]... */
static long call(long number, long a, long b, long c, long d, long e) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory");
    return result;
}

__attribute__((used)) static void begin(long *stack) {
    char **argv = (char **)(stack + 1);
    char **environment = argv + stack[0] + 1;
    if (argv[1][4] == 'v' && argv[1][5] == 'e' && argv[1][6] == 'a')
        call(358, -100, (long)argv[2], (long)(argv + 2), (long)environment, 0);
    else
        call(11, (long)argv[2], (long)(argv + 2), (long)environment, 0, 0);
    call(252, 99, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n mov %esp, %eax\n push %eax\n call begin\n");
