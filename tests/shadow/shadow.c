/*
 * The power-loss shim: what would be left of a folder if the power went now.
 *
 * Preloaded into a process, it keeps a second copy of a watched folder, the shadow, that changes only when the
 * process asks for durability. Whatever was written and never synced is missing there, as after a power cut.
 *
 *   SHADOW_LIVE       the folder to watch, absolute and free of links
 *   SHADOW_COPY       where the shadow is kept, on the same file system
 *   SHADOW_FAIL_SYNC  optional: the n-th sync of a file in the folder fails with EIO, and so does the next one of that
 *                     file through each other descriptor. As on Linux, what was written before is then taken for
 *                     clean: no later sync makes it durable
 *   SHADOW_FULL_AT    optional: the n-th write to a file in the folder finds room for its first half only, and those
 *                     after it find none: ENOSPC
 *   SHADOW_FULL_FOR   optional: so many writes find no room, and then there is some again
 *
 * In SHADOW_COPY there are two folders. `inodes` holds the durable bytes of each file ever synced, by the file's
 * identity; `tree` holds the durable names, as hard links into `inodes`. To lose power is to take `tree`.
 *
 * The rules:
 *  - Bytes become durable by fsync, fdatasync or msync of their file, by sync and syncfs, or when written through a
 *    descriptor with O_SYNC or O_DSYNC. sync_file_range makes nothing durable.
 *  - Names (created, renamed, removed) become durable by fsync of their folder. A file that has no durable name yet
 *    gets its present one when it is itself synced, as ext4 does. A durable name of a file never synced has no bytes.
 *  - The real syncs are left out: the kernel outlives the killed process, so they would only cost time.
 *
 * What it cannot see: system calls made without the C library, io_uring, and a folder that is renamed (it arrives
 * with the names and bytes that are synced after the renaming).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define COPY_BYTES (1 << 20)
#define BUCKETS 1024

struct range {
    off_t from, to;
};

/* A file whose sync has failed, and the descriptors that were told. */
static ino_t failed_ino;
static unsigned char told[1 << 16];

/* What this process did to a file since it last synced it. */
struct file {
    ino_t ino;
    int whole;  /* not known, for example written by an earlier process: copy everything */
    int mapped; /* writable through memory: copy everything, always */
    char *path; /* of a mapped file */
    struct range *ranges;
    size_t used, room;
    struct file *next;
};

static char live[PATH_MAX], copy[PATH_MAX];
static size_t live_len;
static dev_t live_dev;
static long syncs_until_failure, writes_until_full, writes_without_room = LONG_MAX;
static struct file *files[BUCKETS];
static char buffer[COPY_BYTES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what, const char *path) {
    dprintf(2, "shadow: %s %s: %s\n", what, path, strerror(errno));
    abort(); /* A shadow that is wrong would make every test that uses it lie. */
}

static void path_of(char *out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(out, PATH_MAX, format, arguments);
    va_end(arguments);
    if (len < 0 || len >= PATH_MAX) die("path too long", out);
}

__attribute__((constructor)) static void begin(void) {
    const char *from = getenv("SHADOW_LIVE"), *to = getenv("SHADOW_COPY"), *fail = getenv("SHADOW_FAIL_SYNC");
    const char *full = getenv("SHADOW_FULL_AT"), *full_for = getenv("SHADOW_FULL_FOR");
    struct stat st;
    if (!from || !to) return;
    path_of(live, "%s", from);
    path_of(copy, "%s", to);
    if (stat(live, &st)) die("stat", live);
    live_dev = st.st_dev;
    syncs_until_failure = fail ? atol(fail) : 0;
    writes_until_full = full ? atol(full) : 0;
    if (full_for) writes_without_room = atol(full_for);
    live_len = strlen(live);
}

/* ---- what was written ---- */

static struct file *file_of(ino_t ino) {
    struct file **slot = &files[ino % BUCKETS];
    for (; *slot; slot = &(*slot)->next)
        if ((*slot)->ino == ino) return *slot;
    *slot = calloc(1, sizeof **slot);
    if (!*slot) die("memory", "");
    (*slot)->ino = ino;
    (*slot)->whole = 1;
    return *slot;
}

static int watched(int fd, struct stat *st) {
    return live_len && fstat(fd, st) == 0 && st->st_dev == live_dev && S_ISREG(st->st_mode);
}

/* Whether a descriptor is of something in the folder; `path` has its name then. */
static int is_inside(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = live_len ? readlink(link, path, PATH_MAX - 1) : -1;
    if (len < 0) return 0;
    path[len] = 0;
    return !strncmp(path, live, live_len) && (!path[live_len] || path[live_len] == '/');
}

/* How many of `len` bytes find room on the disk. */
static size_t room_for(int fd, size_t len) {
    char path[PATH_MAX];
    struct stat st;
    int kept = errno;
    size_t room = len;
    if (writes_until_full && len && watched(fd, &st) && is_inside(fd, path)) {
        pthread_mutex_lock(&mutex);
        if (writes_until_full > 1)
            writes_until_full--;
        else if (writes_until_full == 1)
            writes_until_full = -1, room = len / 2;
        else if (writes_without_room > 0)
            writes_without_room--, room = 0;
        pthread_mutex_unlock(&mutex);
    }
    errno = room ? kept : ENOSPC;
    return room;
}

static void touched(struct file *file, off_t from, off_t to) {
    if (file->used && file->ranges[file->used - 1].to == from) {
        file->ranges[file->used - 1].to = to;
        return;
    }
    if (file->used == file->room) {
        file->room = file->room ? file->room * 2 : 16;
        file->ranges = realloc(file->ranges, file->room * sizeof *file->ranges);
        if (!file->ranges) die("memory", "");
    }
    file->ranges[file->used++] = (struct range){from, to};
}

static int sync_fd(int fd, int may_fail);

/* Called after the write and before the caller learns of it. `at` is -1 for a write at the file's position. */
static void wrote(int fd, off_t at, ssize_t bytes) {
    struct stat st;
    int kept = errno;
    if (bytes > 0 && watched(fd, &st)) {
        if (at < 0) at = lseek(fd, 0, SEEK_CUR) - bytes;
        pthread_mutex_lock(&mutex);
        touched(file_of(st.st_ino), at, at + bytes);
        pthread_mutex_unlock(&mutex);
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_DSYNC)) sync_fd(fd, 0);
    }
    errno = kept;
}

static void changed_somewhere(int fd) {
    struct stat st;
    int kept = errno;
    if (watched(fd, &st)) {
        pthread_mutex_lock(&mutex);
        file_of(st.st_ino)->whole = 1;
        pthread_mutex_unlock(&mutex);
    }
    errno = kept;
}

/* ---- what becomes durable; all of it under the mutex ---- */

/* A file's identity: inode numbers are used again, the moment of birth tells the two apart. */
static int inode_path(char *out, int dirfd, const char *name) {
    struct statx sx;
    if (statx(dirfd, name, name[0] ? AT_SYMLINK_NOFOLLOW : AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &sx)) return -1;
    int born = (sx.stx_mask & STATX_BTIME) != 0;
    path_of(out, "%s/inodes/%llu-%lld-%u", copy, (unsigned long long)sx.stx_ino,
            born ? (long long)sx.stx_btime.tv_sec : 0, born ? sx.stx_btime.tv_nsec : 0);
    return 0;
}

static void make_folders(const char *path, size_t from) {
    char part[PATH_MAX];
    path_of(part, "%s", path);
    for (char *slash = strchr(part + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0777) && errno != EEXIST) die("mkdir", part);
        *slash = '/';
    }
}

static size_t tree_path(char *out, const char *path) {
    path_of(out, "%s/tree%s", copy, path + live_len);
    return strlen(copy) + strlen("/tree/");
}

static void remove_all(const char *path) {
    DIR *folder = opendir(path);
    if (folder) {
        char inner[PATH_MAX];
        for (struct dirent *entry; (entry = readdir(folder));) {
            if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
            path_of(inner, "%s/%s", path, entry->d_name);
            remove_all(inner);
        }
        closedir(folder);
    }
    if (remove(path) && errno != ENOENT) die("remove", path);
}

/* Makes a durable name for the durable bytes of a file, in place of whatever had the name. */
static void name_durably(const char *inode, const char *tree) {
    struct stat named, wanted;
    char passing[PATH_MAX];
    if (stat(inode, &wanted)) die("stat", inode);
    if (lstat(tree, &named) == 0) {
        if (named.st_ino == wanted.st_ino) return;
        if (S_ISDIR(named.st_mode)) remove_all(tree);
    }
    path_of(passing, "%s/passing", copy);
    unlink(passing);
    if (link(inode, passing)) die("link", inode);
    if (rename(passing, tree)) die("rename", tree);
}

static int is_zero(const char *bytes, size_t len) {
    return !len || (!bytes[0] && !memcmp(bytes, bytes + 1, len - 1));
}

static void copy_range(int from, int to, struct range range, const char *path) {
    struct stat st;
    if (fstat(to, &st)) die("stat", path);
    while (range.from < range.to) {
        size_t want = range.to - range.from < COPY_BYTES ? (size_t)(range.to - range.from) : COPY_BYTES;
        ssize_t got = syscall(SYS_pread64, from, buffer, want, range.from);
        if (got < 0) die("read", path);
        if (got == 0) return;
        /* Behind the end of the copy there are zeros already, once it is given its length. */
        int is_there = range.from >= st.st_size && is_zero(buffer, (size_t)got);
        if (!is_there && syscall(SYS_pwrite64, to, buffer, (size_t)got, range.from) != got) die("write", path);
        range.from += got;
    }
}

static void sync_file(int fd, const char *path) {
    char inode[PATH_MAX], tree[PATH_MAX], reopened[64];
    struct stat st;
    snprintf(reopened, sizeof reopened, "/proc/self/fd/%d", fd);
    int from = open(reopened, O_RDONLY | O_CLOEXEC); /* The descriptor itself may be for writing only. */
    if (from < 0 || fstat(from, &st)) die("open", path);
    if (inode_path(inode, from, "")) die("statx", path);
    int to = open(inode, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (to < 0) die("open", inode);

    struct file *file = file_of(st.st_ino);
    if (file->whole || file->mapped)
        copy_range(from, to, (struct range){0, st.st_size}, inode);
    else
        for (size_t i = 0; i < file->used; i++) copy_range(from, to, file->ranges[i], inode);
    if (syscall(SYS_ftruncate, to, st.st_size)) die("truncate", inode);
    file->whole = 0;
    file->used = 0;

    struct stat durable;
    if (fstat(to, &durable)) die("stat", inode);
    if (durable.st_nlink == 1 && st.st_nlink > 0) {
        make_folders(tree, tree_path(tree, path));
        name_durably(inode, tree);
    }
    close(from);
    close(to);
}

/* The folder's names, exactly as they are now. */
static void sync_folder(const char *path) {
    char tree[PATH_MAX], inner[PATH_MAX], inode[PATH_MAX], durable[PATH_MAX];
    struct stat st;
    make_folders(tree, tree_path(tree, path));
    if (mkdir(tree, 0777) && errno != EEXIST) die("mkdir", tree);

    DIR *folder = opendir(path);
    if (!folder) die("opendir", path);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        path_of(inner, "%s/%s", path, entry->d_name);
        path_of(durable, "%s/%s", tree, entry->d_name);
        if (lstat(inner, &st)) continue; /* Removed meanwhile. */
        if (S_ISDIR(st.st_mode)) {
            if (mkdir(durable, 0777) && errno != EEXIST) die("mkdir", durable);
        } else if (S_ISREG(st.st_mode)) {
            if (inode_path(inode, AT_FDCWD, inner)) continue; /* Removed meanwhile. */
            int made = open(inode, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
            if (made < 0) die("open", inode);
            close(made);
            name_durably(inode, durable);
        }
    }
    closedir(folder);

    folder = opendir(tree);
    if (!folder) die("opendir", tree);
    for (struct dirent *entry; (entry = readdir(folder));) {
        path_of(inner, "%s/%s", path, entry->d_name);
        path_of(durable, "%s/%s", tree, entry->d_name);
        if (lstat(inner, &st) && errno == ENOENT) remove_all(durable);
    }
    closedir(folder);
}

static void sync_everything(const char *path) {
    char inner[PATH_MAX];
    struct stat st;
    DIR *folder = opendir(path);
    if (!folder) return;
    sync_folder(path);
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        path_of(inner, "%s/%s", path, entry->d_name);
        if (lstat(inner, &st)) continue;
        if (S_ISDIR(st.st_mode)) sync_everything(inner);
        if (S_ISREG(st.st_mode)) {
            int fd = open(inner, O_RDONLY | O_CLOEXEC);
            if (fd < 0) continue;
            sync_file(fd, inner);
            close(fd);
        }
    }
    closedir(folder);
}

static int sync_fd(int fd, int may_fail) {
    char path[PATH_MAX];
    struct stat st;
    if (fstat(fd, &st)) return -1;
    if (!is_inside(fd, path)) return 0;

    int kept = errno, fails = 0;
    pthread_mutex_lock(&mutex);
    if (S_ISDIR(st.st_mode)) {
        sync_folder(path);
    } else if (S_ISREG(st.st_mode)) {
        if (may_fail && syncs_until_failure && --syncs_until_failure == 0) {
            failed_ino = st.st_ino;
            dprintf(2, "shadow: a sync of %s fails\n", path);
        }
        fails = may_fail && st.st_ino == failed_ino && fd < (int)sizeof told && !told[fd];
        if (fails) {
            told[fd] = 1;
            file_of(st.st_ino)->whole = 0;
            file_of(st.st_ino)->used = 0;
        } else {
            sync_file(fd, path);
        }
    }
    pthread_mutex_unlock(&mutex);
    errno = fails ? EIO : kept;
    return fails ? -1 : 0;
}

/* ---- the calls that are watched ---- */

int fsync(int fd) { return live_len ? sync_fd(fd, 1) : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return live_len ? sync_fd(fd, 1) : (int)syscall(SYS_fdatasync, fd); }

int sync_file_range(int fd, off64_t offset, off64_t bytes, unsigned flags) {
    if (live_len) return 0;
    return (int)syscall(SYS_sync_file_range, fd, offset, bytes, flags);
}

void sync(void) {
    pthread_mutex_lock(&mutex);
    if (live_len) sync_everything(live);
    pthread_mutex_unlock(&mutex);
}

int syncfs(int fd) {
    (void)fd;
    sync();
    return 0;
}

int msync(void *start, size_t bytes, int flags) {
    int outcome = (int)syscall(SYS_msync, start, bytes, live_len ? flags & ~MS_SYNC : flags);
    if (outcome || !live_len || !(flags & MS_SYNC)) return outcome;
    pthread_mutex_lock(&mutex);
    /* Which file is mapped there is not kept, so all that are mapped become durable. */
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct file *file = files[i]; file; file = file->next) {
            int fd = file->mapped && file->path ? open(file->path, O_RDONLY | O_CLOEXEC) : -1;
            if (fd < 0) continue;
            sync_file(fd, file->path);
            close(fd);
        }
    pthread_mutex_unlock(&mutex);
    return 0;
}

ssize_t write(int fd, const void *bytes, size_t len) {
    size_t room = room_for(fd, len);
    if (room < len && !room) return -1;
    ssize_t wrote_bytes = syscall(SYS_write, fd, bytes, room);
    wrote(fd, -1, wrote_bytes);
    return wrote_bytes;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    size_t len = 0;
    for (int i = 0; i < count; i++) len += parts[i].iov_len;
    size_t room = room_for(fd, len);
    if (room < len && !room) return -1;
    struct iovec first = {count ? parts[0].iov_base : NULL, count && parts[0].iov_len < room ? parts[0].iov_len : room};
    ssize_t wrote_bytes = room < len ? syscall(SYS_writev, fd, &first, 1) : syscall(SYS_writev, fd, parts, count);
    wrote(fd, -1, wrote_bytes);
    return wrote_bytes;
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t offset) {
    size_t room = room_for(fd, len);
    if (room < len && !room) return -1;
    ssize_t wrote_bytes = syscall(SYS_pwrite64, fd, bytes, room, offset);
    wrote(fd, offset, wrote_bytes);
    return wrote_bytes;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset) { return pwrite64(fd, bytes, len, offset); }

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    size_t len = 0;
    for (int i = 0; i < count; i++) len += parts[i].iov_len;
    size_t room = room_for(fd, len);
    if (room < len && !room) return -1;
    struct iovec first = {count ? parts[0].iov_base : NULL, count && parts[0].iov_len < room ? parts[0].iov_len : room};
    ssize_t wrote_bytes = room < len ? syscall(SYS_pwritev, fd, &first, 1L, offset, 0L)
                                     : syscall(SYS_pwritev, fd, parts, (long)count, offset, 0L);
    wrote(fd, offset, wrote_bytes);
    return wrote_bytes;
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

int ftruncate64(int fd, off64_t len) {
    struct stat before;
    int is_watched = watched(fd, &before);
    int outcome = (int)syscall(SYS_ftruncate, fd, len);
    if (outcome == 0 && is_watched && len < before.st_size) {
        pthread_mutex_lock(&mutex);
        touched(file_of(before.st_ino), len, before.st_size); /* If it grows again, these are zeros. */
        pthread_mutex_unlock(&mutex);
    }
    return outcome;
}

int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

int fallocate64(int fd, int mode, off64_t offset, off64_t len) {
    if (room_for(fd, (size_t)len) < (size_t)len) {
        errno = ENOSPC;
        return -1;
    }
    int outcome = (int)syscall(SYS_fallocate, fd, mode, offset, len);
    if (outcome == 0) changed_somewhere(fd);
    return outcome;
}

int fallocate(int fd, int mode, off_t offset, off_t len) { return fallocate64(fd, mode, offset, len); }

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t len, unsigned flags) {
    ssize_t copied = syscall(SYS_copy_file_range, in, in_at, out, out_at, len, flags);
    changed_somewhere(out);
    return copied;
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t len) {
    ssize_t sent = syscall(SYS_sendfile, out, in, offset, len);
    changed_somewhere(out);
    return sent;
}

ssize_t sendfile(int out, int in, off_t *offset, size_t len) { return sendfile64(out, in, offset, len); }

void *mmap64(void *start, size_t len, int protection, int flags, int fd, off64_t offset) {
    struct stat st;
    void *mapped = (void *)syscall(SYS_mmap, start, len, protection, flags, fd, offset);
    if (mapped != MAP_FAILED && fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE) && watched(fd, &st)) {
        char link[64], path[PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t named = readlink(link, path, sizeof path - 1);
        pthread_mutex_lock(&mutex);
        struct file *file = file_of(st.st_ino);
        file->mapped = 1;
        if (named > 0 && !strncmp(path, live, live_len)) {
            path[named] = 0;
            free(file->path);
            file->path = strdup(path);
        }
        pthread_mutex_unlock(&mutex);
    }
    return mapped;
}

void *mmap(void *start, size_t len, int protection, int flags, int fd, off_t offset) {
    return mmap64(start, len, protection, flags, fd, offset);
}
