"""The doctor where the application does not start: its settings are the first thing that is looked at."""

from namaskah.doctor.command import doctor

if __name__ == "__main__":
    doctor()
