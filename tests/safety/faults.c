/* Makes one call of write, pwrite, fsync or rename on files of one folder fail. Preloaded by test_state_machine.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static char folder[PATH_MAX], call[16];
static int code, left;

void arm_fault(const char *where, const char *what, int number, int nth) {
    snprintf(folder, sizeof folder, "%s/", where);
    snprintf(call, sizeof call, "%s", what);
    code = number;
    left = nth;
}

static int fails(const char *what, const char *path) {
    if (left <= 0 || strcmp(what, call) || strncmp(path, folder, strlen(folder)) || --left) return 0;
    errno = code;
    return 1;
}

static int fails_at(const char *what, int descriptor) {
    char link[64], path[PATH_MAX];
    if (left <= 0 || strcmp(what, call)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 2);
    if (length <= 0) return 0;
    path[length] = '/'; /* so that the folder itself is in the folder */
    path[length + 1] = 0;
    return fails(what, path);
}

#define NEXT(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) { return fails_at("write", fd) ? -1 : NEXT(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    return fails_at("pwrite", fd) ? -1 : NEXT(pwrite)(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) {
    return fails_at("pwrite", fd) ? -1 : NEXT(pwrite64)(fd, data, size, at);
}
int fsync(int fd) { return fails_at("fsync", fd) ? -1 : NEXT(fsync)(fd); }
int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : NEXT(rename)(from, to); }
