/* Loaded before libc (LD_PRELOAD): counts the system calls that change files below one folder, and makes the n-th fail.
 *
 * A "step" is a call that opens a file for writing, writes, truncates, synchronises, renames, links, deletes, or makes
 * or removes a folder. It is counted whoever calls it: Python, SQLite, numpy, matplotlib. The count is shared with the
 * processes that are forked after faults_setup, so that the n-th step of a program with workers is in one of them.
 *
 * Nothing happens before faults_arm, and nothing outside of the armed folder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { COUNT, KILL, TORN, KILL_ALL, SHORT, ERROR, ERROR_FROM, CLOCK };
/* COUNT: only count. KILL: the process dies before the step. TORN: it dies after half of the bytes, or after the step
 * where there are none. KILL_ALL: as KILL, with its process group. SHORT: half of the bytes are written, which is told.
 * ERROR: the step fails with an errno. ERROR_FROM: so do all that follow. CLOCK: the time of day jumps before the step,
 * by `error` seconds; the monotonic clock does not, and the times of files are the kernel's. */

struct shared {
    volatile int armed, kind, error, fired;
    volatile long count, at, ahead;
    char folder[PATH_MAX];
    char where[PATH_MAX + 64]; /* the step that was hit */
};
static struct shared *state;

int faults_setup(void)
{
    if (state == NULL) {
        void *memory = mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return -1;
        state = memory;
    }
    return 0;
}

void faults_arm(const char *folder, int kind, long at, int error)
{
    snprintf(state->folder, sizeof state->folder, "%s", folder);
    state->where[0] = 0;
    state->count = 0;
    state->ahead = 0;
    state->fired = 0;
    state->kind = kind;
    state->at = at;
    state->error = error;
    state->armed = 1;
}

void faults_disarm(void) { state->armed = 0; }
long faults_count(void) { return state->count; }
int faults_fired(void) { return state->fired; }
const char *faults_where(void) { return state->where; }

/* Whether a path, or the file behind a descriptor, is below the folder; its path is left in `full`. */
static int is_below(const char *full)
{
    size_t n = strlen(state->folder);
    return strncmp(full, state->folder, n) == 0 && (full[n] == '/' || full[n] == 0);
}

static int is_path_below(int folder, const char *path, char *full)
{
    char base[PATH_MAX] = "";
    if (path[0] == '/') {
        snprintf(full, PATH_MAX, "%s", path);
    } else {
        if (folder == AT_FDCWD) {
            if (getcwd(base, sizeof base) == NULL)
                return 0;
        } else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t n = readlink(link, base, sizeof base - 1);
            base[n < 0 ? 0 : n] = 0;
        }
        if (snprintf(full, PATH_MAX, "%s/%s", base, path) >= PATH_MAX)
            return 0;
    }
    return is_below(full);
}

static int is_file_below(int file, char *full)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = readlink(link, full, PATH_MAX - 1);
    full[n < 0 ? 0 : n] = 0;
    return n > 0 && is_below(full);
}

/* What is to be done with a step. */
enum { PASS, FAIL, HALF, DIE_AFTER };

static void die(void)
{
    if (state->kind == KILL_ALL)
        kill(0, SIGKILL); /* the group, of which this process is one */
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static int step(const char *call, const char *full, int has_bytes, int frees)
{
    long number = __sync_add_and_fetch(&state->count, 1);
    if (state->kind == COUNT || number < state->at || (number > state->at && state->kind != ERROR_FROM))
        return PASS;
    /* a full disk refuses what needs room; a file system that may only be read, everything */
    if (state->kind == ERROR_FROM && frees && state->error == ENOSPC)
        return PASS;
    if (state->kind == SHORT && !has_bytes)
        return PASS;
    if (!state->fired) {
        state->fired = 1;
        snprintf(state->where, sizeof state->where, "%s %s", call, full);
    }
    if (state->kind == KILL || state->kind == KILL_ALL)
        die();
    if (state->kind == TORN)
        return has_bytes ? HALF : DIE_AFTER;
    if (state->kind == SHORT)
        return HALF;
    if (state->kind == CLOCK) {
        state->ahead = state->error;
        return PASS;
    }
    errno = state->error;
    return FAIL;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) \
        real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)
#define IS_ARMED (state != NULL && state->armed)
#define ENDED(result) \
    if (todo == DIE_AFTER) \
        die(); \
    return result

/* Calls that name one path. */
#define ON_PATH(type, name, signature, arguments, folder, path, frees) \
    type name signature \
    { \
        REAL(type, name, SIGNATURE signature); \
        char full[PATH_MAX]; \
        int todo = PASS; \
        if (IS_ARMED && is_path_below(folder, path, full)) { \
            todo = step(#name, full, 0, frees); \
            if (todo == FAIL) \
                return -1; \
        } \
        type result = real arguments; \
        ENDED(result); \
    }
#define SIGNATURE(...) __VA_ARGS__

ON_PATH(int, rename, (const char *from, const char *to), (from, to), AT_FDCWD, to, 1)
ON_PATH(int, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), b, to, 1)
ON_PATH(int, renameat2, (int a, const char *from, int b, const char *to, unsigned int flags), (a, from, b, to, flags), b, to, 1)
ON_PATH(int, link, (const char *from, const char *to), (from, to), AT_FDCWD, to, 0)
ON_PATH(int, symlink, (const char *from, const char *to), (from, to), AT_FDCWD, to, 0)
ON_PATH(int, unlink, (const char *path), (path), AT_FDCWD, path, 1)
ON_PATH(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags), folder, path, 1)
ON_PATH(int, rmdir, (const char *path), (path), AT_FDCWD, path, 1)
ON_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path, 0)
ON_PATH(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), folder, path, 0)
ON_PATH(int, truncate, (const char *path, off_t size), (path, size), AT_FDCWD, path, 0)

/* Calls that open a file; only those that may change something are steps. */
#define OPENS(name, signature, arguments, folder) \
    int name signature \
    { \
        REAL(int, name, SIGNATURE_OPEN signature); \
        mode_t mode = 0; \
        if (flags & (O_CREAT | O_TMPFILE)) { \
            va_list rest; \
            va_start(rest, flags); \
            mode = va_arg(rest, mode_t); \
            va_end(rest); \
        } \
        char full[PATH_MAX]; \
        int todo = PASS; \
        if (IS_ARMED && (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) && is_path_below(folder, path, full)) { \
            todo = step("open", full, 0, 0); \
            if (todo == FAIL) \
                return -1; \
        } \
        int result = real arguments; \
        ENDED(result); \
    }
#define SIGNATURE_OPEN(...) __VA_ARGS__

OPENS(open, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPENS(open64, (const char *path, int flags, ...), (path, flags, mode), AT_FDCWD)
OPENS(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), folder)
OPENS(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode), folder)

/* Calls that write bytes: a torn one writes half of them. */
#define WRITES(name, signature, whole, half, file) \
    ssize_t name signature \
    { \
        REAL(ssize_t, name, SIGNATURE signature); \
        char full[PATH_MAX]; \
        if (IS_ARMED && is_file_below(file, full)) { \
            int todo = step(#name, full, size > 1, 0); \
            if (todo == FAIL) \
                return -1; \
            if (todo == HALF) { \
                ssize_t written = real half; \
                if (state->kind == TORN) \
                    die(); \
                return written; \
            } \
            ssize_t result = real whole; \
            ENDED(result); \
        } \
        return real whole; \
    }

WRITES(write, (int file, const void *bytes, size_t size), (file, bytes, size), (file, bytes, size / 2), file)
WRITES(pwrite, (int file, const void *bytes, size_t size, off_t at), (file, bytes, size, at), (file, bytes, size / 2, at), file)
WRITES(pwrite64, (int file, const void *bytes, size_t size, off_t at), (file, bytes, size, at), (file, bytes, size / 2, at), file)
WRITES(sendfile, (int to, int from, off_t *at, size_t size), (to, from, at, size), (to, from, at, size / 2), to)
WRITES(sendfile64, (int to, int from, off_t *at, size_t size), (to, from, at, size), (to, from, at, size / 2), to)

/* Calls on a file that is open. */
#define ON_FILE(name, signature, arguments, file, frees) \
    int name signature \
    { \
        REAL(int, name, SIGNATURE signature); \
        char full[PATH_MAX]; \
        int todo = PASS; \
        if (IS_ARMED && is_file_below(file, full)) { \
            todo = step(#name, full, 0, frees); \
            if (todo == FAIL) \
                return -1; \
        } \
        int result = real arguments; \
        ENDED(result); \
    }

ON_FILE(ftruncate, (int file, off_t size), (file, size), file, 1)
ON_FILE(ftruncate64, (int file, off_t size), (file, size), file, 1)
ON_FILE(fsync, (int file), (file), file, 0)
ON_FILE(fdatasync, (int file), (file), file, 0)
ON_FILE(fallocate, (int file, int mode, off_t from, off_t size), (file, mode, from, size), file, 0)

/* The time of day. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, now);
    if (result == 0 && IS_ARMED && clock == CLOCK_REALTIME)
        now->tv_sec += state->ahead;
    return result;
}

int gettimeofday(struct timeval *now, void *zone)
{
    REAL(int, gettimeofday, struct timeval *, void *);
    int result = real(now, zone);
    if (result == 0 && IS_ARMED)
        now->tv_sec += state->ahead;
    return result;
}

time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now != NULL)
        *now = precise.tv_sec;
    return precise.tv_sec;
}
