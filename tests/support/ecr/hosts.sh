# Has lines in /etc/hosts for as long as a test lasts. usage: PID.ACCOUNT [LINE…]
# The lines that this account has go, and those of tests that were killed, with what certs.d has for their hosts; then
# LINEs are added. Written in place and never shorter than it is read, for it may be a mount and is read at any moment.
set -eu
own=$1
shift
exec 9<>/etc/hosts
flock 9
kept=
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
        *'# polyarch-test '*)
            mark=${line##*# polyarch-test }
            if [ "$mark" = "$own" ] || ! kill -0 "${mark%%.*}" 2>/dev/null; then
                host=${line#* }
                rm -rf "/etc/docker/certs.d/${host%% *}"
                continue
            fi
            ;;
    esac
    kept="$kept$line
"
done <&9
for line in "$@"; do
    kept="$kept$line # polyarch-test $own
"
done
printf %s "$kept" 1<>/etc/hosts
truncate --size "$(printf %s "$kept" | wc -c)" /etc/hosts
